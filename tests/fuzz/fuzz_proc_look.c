/* Texts of /proc, which hold what programs call themselves and their environment: the first byte
 * chooses the parser. */
#include "tests/fuzz/fuzz.h"

#include "launcher/mpi_world.h"
#include "launcher/proc_look.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 16)
        return 0;
    char *text = fuzz_text(data + 1, size - 1);
    struct proc_look_process p;
    if (data[0] % 5 == 0) {
        if (proc_look_parse_stat(text, &p))
            REQUIRE(strlen(p.name) < sizeof p.name);
    } else if (data[0] % 5 == 1) {
        (void)proc_look_parse_catches(text, data[0]);
    } else if (data[0] % 5 == 2) {
        struct mpi_world_place place;
        mpi_world_place_parse(text, size - 1, &place);
        REQUIRE(place.servers_count <= MPI_WORLD_SERVERS_MAX);
    } else if (data[0] % 5 == 3) {
        static const uint64_t inodes[] = {1, 10, 4711};
        const struct mpi_world_place place = {.size = 2, .servers = {80}, .servers_count = 1};
        struct mpi_world_talk talk;
        mpi_world_talk_parse(text, inodes, 3, &place, &talk);
    } else {
        const char *value = proc_look_parse_variable(text, size - 1, "LOCAL_RANK");
        if (value)
            REQUIRE(value > text && value[-1] == '=' && value + strlen(value) < text + size);
    }
    free(text);
    return 0;
}
