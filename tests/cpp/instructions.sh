#!/bin/sh
# Passes if the newest instruction in each object is of just the given level of x86-64: 1 (the baseline), 2, 3 or 4.
# Not only at most: an object without any would show that this script no longer recognises them.
# usage: instructions.sh OBJDUMP LEVEL OBJECT...
set -eu
objdump=$1 level=$2
shift 2

# The level of an instruction, from its bytes and its name. In 64-bit mode a first byte C4 or C5 is always VEX (AVX,
# FMA, BMI, F16C) and 62 always EVEX (AVX-512); the two-byte opcodes 0F 38 and 0F 3A came with SSSE3 and SSE4.
levels='
BEGIN {
  FS = "\t"
  override = "^((26|2e|36|3e|64|65|67) )*"
  prefix = "^((26|2e|36|3e|64|65|67|66|f2|f3) )*(4[0-9a-f] )?"
  names[2] = "^(movddup|movs[hl]dup|h(add|sub)p[sd]|addsubp[sd]|lddqu|fisttp|popcnt|crc32|cmpxchg16b)"
  names[3] = "^(lzcnt|movbe)"
}
/>:$/ { function_name = $0 }
/^ *[0-9a-f]+:\t/ {
  level = 1
  if ($3 ~ names[2] || $2 ~ prefix "0f 3[8a] ") level = 2
  if ($3 ~ names[3] || $2 ~ override "c[45] ") level = 3
  if ($3 ~ /%zmm|%k[0-7]/ || $2 ~ override "62 ") level = 4
  if (level > newest) { newest = level; example = $3 " in " function_name }
}
END { print newest + 0, example }
'

failures=0
for object in "$@"; do
  found=$("$objdump" --disassemble --insn-width=15 "$object" | awk "$levels")
  printf '%s: x86-64-v%s\n' "$object" "$found"
  [ "${found%% *}" -eq "$level" ] || failures=$((failures + 1))
done
[ "$#" -gt 0 ] && [ "$failures" -eq 0 ]
