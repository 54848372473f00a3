"""What a developer runs, by name: `nox --list`. All but `tests` and `asan` use the active environment."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nox

nox.options.sessions = ["lint", "cpp"]

BUILD_OPTIONS = ["-DCHAINRULE_PYTHON=OFF", "-DCHAINRULE_TESTS=ON", "-DCHAINRULE_WERROR=ON"]

#: What AddressSanitizer needs, to be preloaded into an interpreter that is built without it. Leaks are looked for in
#: the C++ tests: Python keeps much at its end that would be taken for some.
SANITIZER_LIBRARIES = ["asan", "ubsan", "stdc++"]
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "PYTHONMALLOC": "malloc",
}

#: Tests of time and memory, of which sanitizers take much, of what else is preloaded, of released objects, and of what
#: runs a browser or an emulated processor, into which the sanitizers would be preloaded.
NOT_SANITIZED = [
    "chromium",
    "processor_without_avx",
    "kernels_are_those_of_the_processor",
    "corrupt_files_are",
    "in_work_for_several",
    "memory_runs_out",
    "takes_little",
    "hostile_files_are",
    "ctrl_c_ends",
    "takes_no_memory",
    "leak_neither",
    "hostile_files",
    "reliability_programs",
    "hardening",
]

#: Tests of time, and of what is imported: counting takes some, and is some.
NOT_COUNTED = ["ctrl_c_ends", "of_time_within", "takes_little", "heavy_libraries", "reliability_programs"]
NOT_COUNTED += ["interrupts_leak_nothing"]

#: Left out after `-- --quick`: what takes long where it is counted, and whose lines others run.
LONG = ["gradcheck", "properties_e", "properties_f", "kills", "interrupted_lines", "same_bits", "hostile", "processors"]
LONG += ["(test_kernels and not v4)", "zero_copy", "real_interrupts", "faults_training", "31_elements"]
LONG += ["chromium", "leak", "reference_formulas", "faults_process", "sklearn_tests", "test_docs", "user_types", "wide"]
LONG += ["test_interruption", "scores", "grid_search", "test_examples", "same_units", "many_epochs", "howto"]
LONG += ["was_interrupted", "saved_within_epochs", "interpreter_exits"]
LONG_PROGRAMS = ["concurrent", "memory"]

#: What the tests have to run, in per cent, of the C++ and of the Python; docs/coverage_gaps.md says what they do not.
MIN_LINES, MIN_BRANCHES = 95, 90
COUNTED = {"lines": "statements", "branches": "branches"}
#: A template counts once, whatever it is compiled for; branches that only the compiler wrote do not count.
GCOVR_OPTIONS = ["--root", ".", "--filter", "cpp/", "--filter", "python/bindings/", "--merge-lines"]
#: Some lines run more than 2^32 times; functions of several instruction sets have a line each; the headers of pybind11
#: are those of a build that has been tidied up.
GCOVR_OPTIONS += ["--gcov-suspicious-hits-threshold", "0", "--merge-mode-functions=merge-use-line-min"]
GCOVR_OPTIONS += ["--gcov-ignore-errors=source_not_found", "--gcov-ignore-errors=no_working_dir_found"]
GCOVR_OPTIONS += ["--exclude-throw-branches", "--exclude-unreachable-branches", "--print-summary"]
GCOVR_OPTIONS += ["--fail-under-line", str(MIN_LINES), "--fail-under-branch", str(MIN_BRANCHES)]


def build(session: nox.Session, folder: str, *options: str, targets: tuple[str, ...] = ("all",)) -> None:
    """Build the core and its tests without Python, warnings being errors."""
    session.run("cmake", "-S", ".", "-B", folder, *BUILD_OPTIONS, *options)
    session.run("cmake", "--build", folder, "--parallel", str(os.cpu_count()), "--target", *targets)


@nox.session(python=["3.11", "3.12", "3.13", "3.14"])
def tests(session: nox.Session) -> None:
    """Install the package as a user would and run its tests, or those named after `--`."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Style of Python and C++, and types, those of the extension's stub included."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    sources = session.run("git", "ls-files", "*.cpp", "*.hpp", "*.inl", silent=True)
    session.run("clang-format", "--dry-run", "--Werror", *str(sources).split())
    session.run("mypy")
    session.run("python", "-m", "mypy.stubtest", "chainrule._core", "--allowlist", "tests/stubtest_allowlist.txt")


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """Build the site, warnings being errors."""
    session.run("sphinx-build", "--fail-on-warning", "--keep-going", "docs", "build/docs")


@nox.session(venv_backend="none")
def cpp(session: nox.Session) -> None:
    """Build the core and its tests without Python, and run them."""
    build(session, "build/cpp")
    session.run("ctest", "--test-dir", "build/cpp", "--output-on-failure", *session.posargs)


@nox.session(venv_backend="none")
def aarch64(session: nox.Session) -> None:
    """Do the same for 64-bit ARM, with Debian's g++-aarch64-linux-gnu and qemu-user."""
    build(session, "build/aarch64", "-DCMAKE_TOOLCHAIN_FILE=cmake/aarch64-linux-gnu.cmake")
    session.run("ctest", "--test-dir", "build/aarch64", "--output-on-failure", *session.posargs)


@nox.session
def asan(session: nox.Session) -> None:
    """Run the C++ tests, and the Python ones or those after `--`, under Address- and UndefinedBehaviorSanitizer."""
    options = ["CHAINRULE_SANITIZE=address,undefined,float-cast-overflow", "CHAINRULE_TESTS=ON", "CHAINRULE_WERROR=ON"]
    settings = ["build-dir=build/asan", "cmake.build-type=RelWithDebInfo", *(f"cmake.define.{o}" for o in options)]
    session.install(".[test]", *(f"--config-settings={setting}" for setting in settings))
    session.run("ctest", "--test-dir", "build/asan", "--output-on-failure", external=True)
    session.run("python", "-c", "import chainrule", success_codes=[1], silent=True)  # for want of the sanitizers
    find = [["g++", f"-print-file-name=lib{name}.so"] for name in SANITIZER_LIBRARIES]
    libraries = [str(session.run(*command, silent=True, external=True)).strip() for command in find]
    selected = " and ".join(f"not {name}" for name in NOT_SANITIZED)
    environment = {"LD_PRELOAD": ":".join(libraries), **SANITIZER_OPTIONS}
    session.run("pytest", "--numprocesses=auto", "-k", selected, *session.posargs, env=environment)


@nox.session(venv_backend="none")
def tsan(session: nox.Session) -> None:
    """Run the C++ tests of threads, and of several at one net, under ThreadSanitizer."""
    names = ("threads", "concurrent", "fit", "gradient")
    options = ("-DCHAINRULE_SANITIZE=thread", "-DCMAKE_BUILD_TYPE=RelWithDebInfo")
    build(session, "build/tsan", *options, targets=tuple(f"test_{name}" for name in names))
    tests = f"^({'|'.join(names)})$"
    session.run("ctest", "--test-dir", "build/tsan", "--output-on-failure", "--tests-regex", tests)


@nox.session
def coverage(session: nox.Session) -> None:
    """Count the lines and branches that the C++ and Python tests run; too few fail.

    After `--`, `--quick` for those that CI has time for, or tests in place of all Python ones.
    """
    quick, tests = "--quick" in session.posargs, [each for each in session.posargs if each != "--quick"]
    settings = ["build-dir=build/coverage", "cmake.build-type=RelWithDebInfo", "cmake.define.CHAINRULE_COVERAGE=ON"]
    settings += ["cmake.define.CHAINRULE_TESTS=ON"]
    session.install(".[coverage,test]", *(f"--config-settings={setting}" for setting in settings))
    for counts in Path("build/coverage").rglob("*.gcda"):  # of an earlier run
        counts.unlink()
    session.run("coverage", "erase")
    programs = ["instructions", "symbols", *(LONG_PROGRAMS if quick else [])]  # those two read objects as released
    options = ["--parallel", str(os.cpu_count()), "--output-on-failure", "-E", f"^({'|'.join(programs)})"]
    session.run("ctest", "--test-dir", "build/coverage", *options, external=True)
    selected = " and ".join(f"not {name}" for name in NOT_COUNTED + (LONG if quick else []))
    session.run("coverage", "run", "-m", "pytest", "--numprocesses=auto", "-k", selected, *tests)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")
    session.run("coverage", "json", "--quiet", "-o", "build/coverage/python.json")
    report = json.loads(Path("build/coverage/python.json").read_text())["totals"]
    lines, branches = (100 * report[f"covered_{kind}"] / report[f"num_{of}"] for kind, of in COUNTED.items())
    session.run("gcovr", "--object-directory", "build/coverage", *GCOVR_OPTIONS, "build/coverage")
    session.log(f"Python: {lines:.1f} % of lines, {branches:.1f} % of branches")
    if lines < MIN_LINES or branches < MIN_BRANCHES:
        session.error(f"Python: at least {MIN_LINES} % of lines and {MIN_BRANCHES} % of branches are to be run")


@nox.session(venv_backend="none")
def exhaustive(session: nox.Session) -> None:
    """Compare exp, log, sigmoid and tanh of every float32 with the truth, on each instruction set of this machine."""
    build(session, "build/cpp", targets=("test_math",))
    session.run("build/cpp/tests/cpp/test_math", "1")


@nox.session(venv_backend="none")
def fuzz(session: nox.Session) -> None:
    """Fuzz the kernels, and with atheris the readers: 30 seconds each, or as many as follow `--`; then the seed.

    Without one it is always the same, for a failure in CI is to speak of the change and not of luck.
    """
    seconds, seed = (*session.posargs, *("30", "1")[len(session.posargs) :])
    build(session, "build/cpp", targets=("fuzz_kernels",))
    session.run("build/cpp/tests/cpp/fuzz_kernels", seconds, seed)
    if "no" in str(session.run("python", "-c", "try: import atheris\nexcept ImportError: print('no')", silent=True)):
        session.skip(
            "the readers are not fuzzed: no atheris here; pip install atheris, if it has a wheel for this Python"
        )
    limits = (f"-max_total_time={seconds}", f"-seed={seed}", "-max_len=16384")
    for target, kind, option in (
        ("fuzz_model_loader", "model", ()),
        ("fuzz_csv_reader", "csv", ("-dict=fuzz/csv.dict",)),
    ):
        found = Path("build/fuzz", kind)
        found.mkdir(parents=True, exist_ok=True)
        options = (*limits, f"-artifact_prefix={found}-", *option, str(found), f"fuzz/corpus/{kind}")
        session.run("python", f"fuzz/{target}.py", *options, env={"PYTHONHASHSEED": "0"})
