# A toolchain for 64-bit ARM on another machine: Debian's cross compiler (g++-aarch64-linux-gnu), and its emulator
# (qemu-user) for ctest. Use: cmake -S . -B build/aarch64 --toolchain cmake/aarch64-linux-gnu.cmake ...
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
