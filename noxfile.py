"""What a developer runs, by name: `nox --list`. All but `tests` use the active environment (CONTRIBUTING.md)."""

from __future__ import annotations

import os

import nox

nox.options.sessions = ["lint", "cpp"]

BUILD_OPTIONS = ["-DCHAINRULE_PYTHON=OFF", "-DCHAINRULE_TESTS=ON", "-DCHAINRULE_WERROR=ON"]


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


@nox.session(venv_backend="none")
def exhaustive(session: nox.Session) -> None:
    """Compare exp, log, sigmoid and tanh of every float32 with the truth, on each instruction set of this machine."""
    build(session, "build/cpp", targets=("test_math",))
    session.run("build/cpp/tests/cpp/test_math", "1")
