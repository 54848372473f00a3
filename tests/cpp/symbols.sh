#!/bin/sh
# Passes if an object of kernels offers the linker its table and nothing else, and runs nothing when it is loaded.
# Another global or weak symbol could be a shared template, of which the linker keeps any one copy for all.
# usage: symbols.sh NM OBJDUMP TABLE OBJECT
set -eu
nm=$1 objdump=$2 table=$3 object=$4

symbols=$("$nm" --demangle --defined-only --extern-only "$object")
printf '%s\n' "$symbols"
[ "$(printf '%s\n' "$symbols" | cut -d ' ' -f 3-)" = "chainrule::$table" ]

! "$objdump" --section-headers "$object" | grep -E '\.(init_array|ctors)'
