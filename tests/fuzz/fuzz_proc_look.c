/* Texts of /proc, which hold what programs call themselves, their environment and their
 * connections: the first byte chooses the parser. */
#include "tests/fuzz/fuzz.h"

#include "launcher/mpi_world.h"
#include "launcher/proc_look.h"

/* An environment, and behind its last NUL the table of connections. */
static void world(const char *text, size_t size)
{
    static const uint64_t inodes[] = {0, 10, 11, 14, UINT64_MAX};
    struct mpi_world_place place;
    struct mpi_world_talk talk, none;
    size_t length = size;
    while (length > 0 && text[length - 1])
        length--;
    mpi_world_place_parse(text, length, &place);
    REQUIRE(place.servers_count <= MPI_WORLD_SERVERS_MAX);
    REQUIRE(!place.is_pmix || (place.size > 0 && (place.servers_count || place.is_unclear)));
    mpi_world_talk_parse(text + length, inodes, sizeof inodes / sizeof inodes[0], &place, &talk);
    REQUIRE(!talk.to_server || place.servers_count);
    mpi_world_talk_parse(text + length, inodes, 0, &place, &none);
    REQUIRE(!none.to_server && !none.elsewhere);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 16)
        return 0;
    char *text = fuzz_text(data + 1, size - 1);
    struct proc_look_process p;
    if (data[0] % 4 == 0) {
        if (proc_look_parse_stat(text, &p))
            REQUIRE(strlen(p.name) < sizeof p.name);
    } else if (data[0] % 4 == 1) {
        (void)proc_look_parse_catches(text, data[0]);
    } else if (data[0] % 4 == 3) {
        world(text, size - 1);
    } else {
        const char *value = proc_look_parse_variable(text, size - 1, "LOCAL_RANK");
        if (value)
            REQUIRE(value > text && value[-1] == '=' && value + strlen(value) < text + size);
    }
    free(text);
    return 0;
}
