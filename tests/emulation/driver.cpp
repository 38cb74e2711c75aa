/*
Runs kernels as its standard input says, one launch after the other, and answers on its standard output.

A launch is: the length of the kernel's name and the name, grid x and y, block x and y, bytes of shared memory, the
number of arguments; then each argument: -1 and an integer, or the size of an array, by how many bytes its address
misses a multiple of 16, where in it the element of index 0 lies, and its bytes. Numbers are 64-bit. The answer is the bytes of all arrays, as they are then.
Every array has its own allocation, of its exact size, so that AddressSanitizer sees a read or write beside it.
*/
#include "emulate.h"

#include KERNELS

#include <map>
#include <memory>
#include <string>

namespace {

struct Argument {
    std::int64_t number = 0;
    std::unique_ptr<unsigned char[]> memory;
    unsigned char* array = nullptr;
    unsigned char* first = nullptr;
    std::size_t size = 0;
};

template <typename A> struct As {
    static A of(const Argument& argument) { return static_cast<A>(argument.number); }
};
template <typename T> struct As<T*> {
    static T* of(const Argument& argument) { return reinterpret_cast<T*>(argument.first); }
};

typedef std::function<void(const std::vector<Argument>&)> Kernel;

template <typename... A, std::size_t... i>
Kernel called(void (*kernel)(A...), std::index_sequence<i...>)
{
    return [kernel](const std::vector<Argument>& given) {
        if (given.size() != sizeof...(A)) std::fprintf(stderr, "a launch with %zu arguments\n", given.size()), std::abort();
        kernel(As<A>::of(given[i])...);
    };
}

template <typename... A> Kernel called(void (*kernel)(A...)) { return called(kernel, std::index_sequence_for<A...>()); }

#define ENTRY(...) {#__VA_ARGS__, called(__VA_ARGS__)},
const std::map<std::string, Kernel> kernels = {
#include "entries.inc"
};

bool read_bytes(void* to, std::size_t count) { return count == 0 || std::fread(to, 1, count, stdin) == count; }

std::int64_t read_number()
{
    std::int64_t number;
    if (!read_bytes(&number, sizeof number)) std::fprintf(stderr, "the input ends within a launch\n"), std::abort();
    return number;
}

}  // namespace

int main()
{
    std::int64_t length;
    while (read_bytes(&length, sizeof length)) {
        std::string name(length, ' ');
        read_bytes(name.data(), length);
        dim3 grid, block;
        grid.x = read_number(), grid.y = read_number(), block.x = read_number(), block.y = read_number();
        const std::size_t shared = read_number();
        std::vector<Argument> arguments(read_number());
        for (Argument& argument : arguments) {
            const std::int64_t size = read_number();
            if (size < 0) {
                argument.number = read_number();
                continue;
            }
            const std::size_t skipped = read_number(), first = read_number();
            argument.memory.reset(new unsigned char[size + skipped]);
            argument.array = argument.memory.get() + skipped;
            argument.first = argument.array + first;
            argument.size = size;
            if (!read_bytes(argument.array, size)) std::fprintf(stderr, "the input ends within an array\n"), std::abort();
        }
        const auto kernel = kernels.find(name);
        if (kernel == kernels.end()) std::fprintf(stderr, "unknown kernel %s\n", name.c_str()), std::abort();
        emulation::launch(grid, block, shared, [&] { kernel->second(arguments); });
        for (const Argument& argument : arguments)
            if (argument.array) std::fwrite(argument.array, 1, argument.size, stdout);
        std::fflush(stdout);
    }
}
