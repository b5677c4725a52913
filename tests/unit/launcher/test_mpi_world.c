/* launcher/mpi_world.c and mpi_elf_zeroed(): are the ranks that mpirun has started one world? */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "launcher/mpi_elf.h"
#include "launcher/mpi_world.h"
#include "lib/base/cleanup.h"

/* ---- the first environment ---- */

#define PLACE(text, place) mpi_world_place_parse(text, sizeof(text) - 1, place)

static void test_an_environment_tells_whose_rank_a_process_is(void **state)
{
    struct mpi_world_place place;
    (void)state;
    PLACE("HOME=/\0OMPI_COMM_WORLD_SIZE=4\0PMIX_RANK=3\0"
          "PMIX_SERVER_URI2=12.0;tcp4://127.0.0.1:42785\0"
          "PMIX_SERVER_URI41=12.0;tcp4://127.0.0.1:80\0",
          &place);
    assert_int_equal(place.size, 4);
    assert_true(place.is_pmix && !place.is_unclear && !place.has_pmi1);
    assert_int_equal(place.servers_count, 2);
    assert_int_equal(place.servers[0], 42785);
    PLACE("PMI_RANK=0\0PMI_SIZE=2\0PMI_FD=6\0", &place);
    assert_int_equal(place.size, 2);
    assert_true(!place.is_pmix && place.has_pmi1 && !place.is_unclear);
    PLACE("OMPI_COMM_WORLD_SIZE=4\0", &place);
    assert_int_equal(place.size, 0); /* a script's own variable */
    PLACE("PMI_SIZE=4\0PMIX_RANK=1\0", &place);
    assert_int_equal(place.size, 0);
    PLACE("OMPI_COMM_WORLD_SIZE=4\0PMIX_RANK=3\0", &place);
    assert_true(place.is_unclear); /* who serves it? */
    PLACE("OMPI_COMM_WORLD_SIZE=4\0PMIX_RANK=3\0PMIX_SERVER_URI2=12.0:/tmp/pmix\0", &place);
    assert_true(place.is_unclear);
    PLACE("OMPI_COMM_WORLD_SIZE=x\0PMIX_RANK=3\0PMI_RANK=1\0PMI_SIZE=-1\0", &place);
    assert_int_equal(place.size, 0);
}

/* ---- connections ---- */

#define HEAD "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
#define REST " 00000000:00000000 00:00000000 00000000     0        0 "

static void test_connections_of_a_rank_are_told_from_others(void **state)
{
    (void)state;
    static const char tables[] = HEAD
        "   0: 0100007F:C93C 0100007F:0050 01" REST "10 1 0000000000000000 20 4 26 18 -1\n"
        "   1: 0100007F:0050 0100007F:C93C 01" REST "99 1 0000000000000000 20 4 26 18 -1\n"
        "   2: 0100007F:C93D 0100007F:0051 01" REST "11 1 0000000000000000 20 4 26 18 -1\n"
        "   3: 00000000:0400 00000000:0000 0A" REST "12 1 0000000000000000 20 4 26 18 -1\n"
        "   4: 0200A8C0:0401 0300A8C0:0050 06" REST "13 1 0000000000000000 20 4 26 18 -1\n" HEAD
        "   0: 0000000000000000FFFF00000100007F:0051 0000000000000000FFFF00000100007F:C93D 01" REST
        "14 1 0000000000000000 20 4 26 18 -1\n";
    static const struct {
        const char *what;
        uint64_t inodes[4];
        size_t count;
        uint16_t server;
        bool to_server, elsewhere;
    } rows[] = {
        {"no sockets", {0}, 0, 80, false, false},
        {"to its server", {10}, 1, 80, true, false},
        {"to somebody", {10}, 1, 81, false, true},
        {"to a process of its own, by IPv6", {11, 14}, 2, 80, false, false},
        {"to one that is not its own, by IPv6", {11}, 1, 80, false, true},
        {"who listens, or waits for an end, speaks to nobody", {12, 13}, 2, 80, false, false},
        {"to both", {10, 11}, 2, 80, true, true},
        {"the daemon's own end is not a rank's", {98, 100}, 2, 80, false, false},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct mpi_world_place place = {.size = 2, .servers = {rows[i].server}, .servers_count = 1};
        struct mpi_world_talk talk;
        mpi_world_talk_parse(tables, rows[i].inodes, rows[i].count, &place, &talk);
        if (talk.to_server != rows[i].to_server || talk.elsewhere != rows[i].elsewhere)
            fail_msg("%s: %d %d", rows[i].what, talk.to_server, talk.elsewhere);
    }
    struct mpi_world_place place = {.size = 2};
    struct mpi_world_talk talk;
    const uint64_t inode = 10;
    mpi_world_talk_parse("none of it\n 1: zz", &inode, 1, &place, &talk);
    assert_true(!talk.to_server && !talk.elsewhere);
}

/* Of a pod with the node's network: each row once led to a look through all that follow it. CPU
 * time, with two orders of magnitude to spare. */
static void test_a_long_table_of_connections_is_read_in_one_go(void **state)
{
    (void)state;
    const size_t rows = 80000;
    const char *rest = REST "10 1 0000000000000000 20 4 26 18 -1";
    const uint64_t inode = 11;
    struct mpi_world_place place = {.size = 2, .servers = {80}, .servers_count = 1};
    struct mpi_world_talk talk;
    cleanup_free char *tables = malloc((rows + 2) * 160);
    assert_non_null(tables);
    char *at = tables + sprintf(tables, "%s", HEAD);
    for (size_t i = 0; i < rows; i++)
        at += sprintf(at, "%6zu: 0100007F:%04X 0200007F:0050 01%s\n", i, (unsigned)(i & 0xffff),
                      rest);
    clock_t before = clock();
    mpi_world_talk_parse(tables, &inode, 1, &place, &talk);
    assert_false(talk.to_server || talk.elsewhere);
    assert_true(clock() - before < 5 * CLOCKS_PER_SEC);
}

/* ... and each connection within the rank to a look for its other end. */
static void test_many_connections_within_a_rank_are_not_all_followed(void **state)
{
    (void)state;
    uint64_t inodes[200];
    char tables[200 * 160] = HEAD, *at = tables + strlen(tables);
    struct mpi_world_place place = {.size = 2};
    struct mpi_world_talk talk;
    for (unsigned i = 0; i < 100; i++) {
        inodes[2 * i] = 100 + 2 * i;
        inodes[2 * i + 1] = 101 + 2 * i;
        at += sprintf(at, "0: 0100007F:%04X 0100007F:%04X 01 0 0 0 0 0 %u\n", i, 1000 + i,
                      100 + 2 * i);
        at += sprintf(at, "0: 0100007F:%04X 0100007F:%04X 01 0 0 0 0 0 %u\n", 1000 + i, i,
                      101 + 2 * i);
    }
    mpi_world_talk_parse(tables, inodes, MPI_WORLD_WITHIN_MAX, &place, &talk);
    assert_false(talk.elsewhere);
    mpi_world_talk_parse(tables, inodes, 200, &place, &talk);
    assert_true(talk.elsewhere); /* nothing is said against it */
}

/* ---- libraries ---- */

static void test_libraries_are_known_by_their_names(void **state)
{
    (void)state;
    assert_true(mpi_world_is_core("/usr/lib/libmpi.so.40.30.4"));
    assert_true(mpi_world_is_core("/usr/lib/libmpich.so.12.2.2"));
    assert_false(mpi_world_is_core("/usr/lib/libopen-rte.so.40")); /* mpirun has it, too */
    assert_false(mpi_world_is_core("/usr/lib/libmpi_cxx.so.40"));
    assert_true(mpi_world_is_other_means("/venv/lib/libtorch_cpu.so"));
    assert_true(mpi_world_is_other_means("libnccl.so.2"));
    assert_false(mpi_world_is_other_means("/torch/libm.so.6"));
    assert_true(mpi_world_is_client(MPI_FAMILY_OPEN_MPI, "/lib/libpmi2.so.0"));
    assert_false(mpi_world_is_client(MPI_FAMILY_OPEN_MPI, "/lib/libpmix.so.2"));
    assert_true(mpi_world_is_client(MPI_FAMILY_MPICH, "/lib/libpmix.so.2"));
}

static void test_the_library_s_own_variable_says_whether_mpi_has_begun(void **state)
{
    size_t size = 0;
    int32_t number;
    uint64_t pointer = 0;
    (void)state;
    assert_string_equal(mpi_world_variable(MPI_FAMILY_OPEN_MPI, &size), "ompi_mpi_state");
    assert_int_equal(size, sizeof number);
    for (number = 0; number <= 5; number++)
        assert_int_equal(mpi_world_begun_of(MPI_FAMILY_OPEN_MPI, &number, sizeof number),
                         number == 2 ? MPI_WORLD_BEGUN_YES : MPI_WORLD_BEGUN_NO);
    assert_string_equal(mpi_world_variable(MPI_FAMILY_MPICH, &size), "MPIR_C_MPI_UNWEIGHTED");
    assert_int_equal(size, sizeof pointer);
    assert_int_equal(mpi_world_begun_of(MPI_FAMILY_MPICH, &pointer, size), MPI_WORLD_BEGUN_NO);
    pointer = 0x7f0000000000;
    assert_int_equal(mpi_world_begun_of(MPI_FAMILY_MPICH, &pointer, size), MPI_WORLD_BEGUN_YES);
    assert_null(mpi_world_variable(MPI_FAMILY_NONE, &size));
    assert_int_equal(mpi_world_begun_of(MPI_FAMILY_NONE, &pointer, 8), MPI_WORLD_BEGUN_UNKNOWN);
}

/* A library of a header, a segment of `in_file` bytes of 0x1000 in memory, three sections. */
struct library {
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    Elf64_Shdr sections[3];
    Elf64_Sym symbols[4];
    char names[64];
};

static ssize_t read_library(void *arg, const char *path, uint64_t offset, void *to, size_t size)
{
    (void)path;
    if (offset >= sizeof(struct library))
        return 0;
    size_t n = sizeof(struct library) - offset;
    n = n < size ? n : size;
    memcpy(to, (const char *)arg + offset, n);
    return (ssize_t)n;
}

static struct library make_library(void)
{
    struct library l = {
        .header = {.e_type = ET_DYN,
                   .e_machine = EM_X86_64,
                   .e_phoff = offsetof(struct library, segment),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 1,
                   .e_shoff = offsetof(struct library, sections),
                   .e_shentsize = sizeof(Elf64_Shdr),
                   .e_shnum = 3},
        .segment = {.p_type = PT_LOAD, .p_filesz = 0x800, .p_memsz = 0x1000},
        .sections = {{.sh_type = SHT_NULL},
                     {.sh_type = SHT_DYNSYM,
                      .sh_link = 2,
                      .sh_offset = offsetof(struct library, symbols),
                      .sh_size = 4 * sizeof(Elf64_Sym)},
                     {.sh_type = SHT_STRTAB,
                      .sh_offset = offsetof(struct library, names),
                      .sh_size = 64}},
        .names = "\0zero\0set\0call",
    };
    static const struct {
        uint32_t name;
        unsigned char type;
        uint64_t value;
    } symbols[] = {
        {0, 0, 0}, {1, STT_OBJECT, 0xff8}, {6, STT_OBJECT, 0x7fc}, {10, STT_FUNC, 0x900}};
    for (size_t i = 0; i < 4; i++)
        l.symbols[i] = (Elf64_Sym){.st_name = symbols[i].name,
                                   .st_info = ELF64_ST_INFO(STB_GLOBAL, symbols[i].type),
                                   .st_shndx = 1,
                                   .st_value = symbols[i].value,
                                   .st_size = 8};
    memcpy(l.header.e_ident, ELFMAG, SELFMAG);
    l.header.e_ident[EI_CLASS] = ELFCLASS64;
    l.header.e_ident[EI_DATA] =
        __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
    return l;
}

static void test_a_variable_is_believed_only_when_it_begins_as_zero(void **state)
{
    struct library l = make_library();
    const struct mpi_files files = {.arg = &l, .read = read_library};
    uint64_t at = 7;
    (void)state;
    assert_int_equal(mpi_elf_zeroed(&files, "l", "zero", 8, &at), 0);
    assert_int_equal(at, 0xff8);
    at = 7;
    assert_int_equal(mpi_elf_zeroed(&files, "l", "zero", 4, &at), -ENOENT); /* of another size */
    assert_int_equal(mpi_elf_zeroed(&files, "l", "set", 8, &at), -ENOENT);  /* the file has bytes */
    assert_int_equal(mpi_elf_zeroed(&files, "l", "call", 8, &at), -ENOENT);
    assert_int_equal(mpi_elf_zeroed(&files, "l", "none", 8, &at), -ENOENT);
    l.symbols[1].st_value = 0xffc; /* not all of it in memory */
    assert_int_equal(mpi_elf_zeroed(&files, "l", "zero", 8, &at), -ENOENT);
    l = make_library();
    l.segment.p_vaddr = 0x400000;
    assert_int_equal(mpi_elf_zeroed(&files, "l", "zero", 8, &at), -ENOENT);
    l = make_library();
    l.header.e_shnum = 0;
    assert_int_equal(mpi_elf_zeroed(&files, "l", "zero", 8, &at), -ENOENT);
    l = make_library();
    l.sections[1].sh_link = 3;
    assert_int_equal(mpi_elf_zeroed(&files, "l", "zero", 8, &at), -ENOENT);
    l = make_library();
    l.sections[1].sh_size = UINT64_MAX;
    assert_int_equal(mpi_elf_zeroed(&files, "l", "zero", 8, &at), -E2BIG);
    l = make_library();
    l.sections[2].sh_size = 8192; /* the file is shorter */
    assert_int_equal(mpi_elf_zeroed(&files, "l", "zero", 8, &at), -EPROTO);
    l = make_library();
    l.header.e_ident[0] = 'x';
    assert_int_equal(mpi_elf_zeroed(&files, "l", "zero", 8, &at), -ENOEXEC);
    assert_int_equal(at, 7);
}

/* ---- the rule ---- */

#define PMIX(...)                                                                               \
    {                                                                                           \
        .place = {.size = 4, .is_pmix = true, .servers = {80}, .servers_count = 1}, __VA_ARGS__ \
    }
#define PMI1(...)                                           \
    {                                                       \
        .place = {.size = 4, .has_pmi1 = true}, __VA_ARGS__ \
    }
#define MPICH .family = MPI_FAMILY_MPICH
#define OPEN_MPI .family = MPI_FAMILY_OPEN_MPI
#define BEGUN .begun = MPI_WORLD_BEGUN_YES
#define NOT_BEGUN .begun = MPI_WORLD_BEGUN_NO

static void test_a_rank_is_accused_by_proof_alone(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct mpi_world_facts facts;
        enum mpi_world_finding expected;
    } rows[] = {
        {"MPICH under Open MPI's mpirun", PMIX(MPICH, BEGUN), MPI_WORLD_ALONE},
        {"Open MPI under Hydra", PMI1(OPEN_MPI, BEGUN), MPI_WORLD_ALONE},
        {"Open MPI that has not found its server", PMIX(OPEN_MPI, BEGUN), MPI_WORLD_ALONE},
        {"Open MPI, connected", PMIX(OPEN_MPI, BEGUN, .talk.to_server = true), MPI_WORLD_FINE},
        {"MPICH, connected by PMIx", PMIX(MPICH, BEGUN, .talk.to_server = true), MPI_WORLD_FINE},
        {"MPICH that could have been", PMIX(MPICH, BEGUN, .has_client = true), MPI_WORLD_FINE},
        {"MPICH under Hydra", PMI1(MPICH, BEGUN), MPI_WORLD_FINE},
        {"Open MPI that knows PMI-1", PMI1(OPEN_MPI, BEGUN, .has_client = true), MPI_WORLD_FINE},
        {"a server that is not understood",
         {.place = {.size = 4, .is_pmix = true, .is_unclear = true}, OPEN_MPI, BEGUN},
         MPI_WORLD_FINE},
        {"a world of one", {.place = {.size = 1, .is_pmix = true}, MPICH, BEGUN}, MPI_WORLD_FINE},
        {"no MPI library, or two", PMIX(BEGUN), MPI_WORLD_NOT_YET},
        {"MPI_Init is still to come", PMIX(MPICH, NOT_BEGUN), MPI_WORLD_NOT_YET},
        {"it is linked to MPI and does not use it", PMI1(OPEN_MPI, NOT_BEGUN), MPI_WORLD_NOT_YET},
        {"it uses NCCL", PMIX(MPICH, BEGUN, .has_other_means = true), MPI_WORLD_DOUBT},
        {"it speaks to somebody", PMIX(MPICH, BEGUN, .talk.elsewhere = true), MPI_WORLD_DOUBT},
        {"a shell waits for it", PMIX(MPICH, BEGUN, .is_below = true), MPI_WORLD_DOUBT},
        {"a library that does not tell", PMIX(MPICH), MPI_WORLD_DOUBT},
        {"one that does not tell, and uses NCCL", PMIX(MPICH, .has_other_means = true),
         MPI_WORLD_NOT_YET},
        {"one that does not tell, of its starter's kind", PMIX(OPEN_MPI), MPI_WORLD_NOT_YET},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++)
        if (mpi_world_find(&rows[i].facts) != rows[i].expected)
            fail_msg("%s: %d", rows[i].what, mpi_world_find(&rows[i].facts));
}

/* ---- a pod ---- */

static const struct mpi_world_facts alone = PMIX(MPICH, BEGUN, .library = "libmpich.so.12"),
                                    doubt = PMIX(MPICH, BEGUN, .library = "libmpich.so.12",
                                                 .has_other_means = true),
                                    fine = PMIX(OPEN_MPI, BEGUN, .library = "libmpi.so.40",
                                                .talk.to_server = true),
                                    early = PMIX(MPICH, NOT_BEGUN, .library = "libmpich.so.12");

static struct mpi_world world;
static char words[MPI_WORLD_WORDS_MAX];

/* A look at ranks with the pids 1, 2, ... */
static enum mpi_world_answer look(int64_t now_ms, bool may_fail, size_t count,
                                  const struct mpi_world_facts *const *ranks)
{
    mpi_world_begin(&world);
    for (size_t i = 0; i < count; i++)
        if (!mpi_world_is_fine(&world, (pid_t)i + 1, 5))
            mpi_world_see(&world, (pid_t)i + 1, 5, ranks[i], now_ms);
    return mpi_world_conclude(&world, may_fail, now_ms, words);
}
#define LOOK(now_ms, may_fail, ...)                                                             \
    look(now_ms, may_fail, MLT_ARRAY_LENGTH(((const struct mpi_world_facts *[]){__VA_ARGS__})), \
         (const struct mpi_world_facts *const[]){__VA_ARGS__})

static void test_all_ranks_of_a_pod_have_to_be_alone_for_long(void **state)
{
    (void)state;
    world = (struct mpi_world){0};
    assert_int_equal(LOOK(0, true, &alone, &alone), MPI_WORLD_NOTHING);
    assert_int_equal(LOOK(29000, true, &alone, &alone), MPI_WORLD_NOTHING);
    assert_int_equal(LOOK(30001, true, &alone, &alone), MPI_WORLD_FAIL);
    assert_string_equal(words,
                        "no gang: each of 2 of the 4 ranks of Open MPI's mpirun here runs MPI "
                        "(libmpich.so.12) as a world of its own: call the mpiexec of that "
                        "library's MPI; if it is meant so: MLTRAIN_MPI_WORLD_CHECK=warn");
    /* One that has only just begun, one that has not, one that is connected. */
    world = (struct mpi_world){0};
    assert_int_equal(LOOK(0, true, &alone, &early), MPI_WORLD_NOTHING);
    assert_int_equal(LOOK(40000, true, &alone, &alone), MPI_WORLD_TELL);
    assert_int_equal(LOOK(60000, true, &alone, &alone), MPI_WORLD_NOTHING);
    assert_int_equal(LOOK(70000, true, &alone, &alone), MPI_WORLD_FAIL);
    world = (struct mpi_world){0};
    (void)LOOK(1, true, &alone, &fine);
    assert_int_equal(LOOK(40000, true, &alone, &alone), MPI_WORLD_TELL); /* it stays fine */
    assert_int_equal(LOOK(90000, true, &alone, &alone), MPI_WORLD_NOTHING);
    /* What is over does not count, nor does another process with its number. */
    world = (struct mpi_world){0};
    (void)LOOK(1, true, &alone);
    mpi_world_begin(&world);
    mpi_world_see(&world, 1, 6, &alone, 40000);
    assert_int_equal(mpi_world_conclude(&world, true, 40000, words), MPI_WORLD_NOTHING);
    (void)LOOK(41000, true, &alone);
    assert_int_equal(LOOK(60000, true, &early), MPI_WORLD_NOTHING);
    assert_int_equal(LOOK(80000, true, &alone), MPI_WORLD_NOTHING);
}

static void test_doubts_are_told_once(void **state)
{
    (void)state;
    world = (struct mpi_world){0};
    (void)LOOK(1, true, &alone, &doubt);
    assert_int_equal(LOOK(40000, true, &alone, &doubt), MPI_WORLD_TELL);
    assert_non_null(strstr(words, "perhaps no gang: 2 of the 4 ranks"));
    assert_int_equal(LOOK(80000, true, &alone, &doubt), MPI_WORLD_NOTHING);
    /* Where the job says that it may not fail. */
    world = (struct mpi_world){0};
    (void)LOOK(1, false, &alone);
    assert_int_equal(LOOK(40000, false, &alone), MPI_WORLD_TELL);
    assert_int_equal(LOOK(80000, false, &alone), MPI_WORLD_NOTHING);
}

static void test_short_ranks_are_judged_when_the_command_has_ended(void **state)
{
    (void)state;
    world = (struct mpi_world){0};
    assert_int_equal(mpi_world_over(&world, true, words), MPI_WORLD_NOTHING);
    /* One look at two ranks that live for a second; one of them was seen in MPI_Finalize last. */
    (void)LOOK(1, true, &early, &alone);
    (void)LOOK(200, true, &alone, &alone);
    (void)LOOK(400, true, &early, &alone);
    assert_int_equal(mpi_world_over(&world, true, words), MPI_WORLD_FAIL);
    assert_string_equal(words,
                        "no gang: each rank of Open MPI's mpirun here that was seen has run MPI "
                        "(libmpich.so.12) as a world of its own: call the mpiexec of that "
                        "library's MPI; if it is meant so: MLTRAIN_MPI_WORLD_CHECK=warn");
    world = (struct mpi_world){0};
    (void)LOOK(1, false, &alone);
    assert_int_equal(mpi_world_over(&world, false, words), MPI_WORLD_TELL);
    assert_int_equal(mpi_world_over(&world, false, words), MPI_WORLD_NOTHING);
    /* Those that have not begun MPI prove nothing, nor does anything beside a whole world. */
    world = (struct mpi_world){0};
    (void)LOOK(1, true, &early, &early);
    assert_int_equal(mpi_world_over(&world, true, words), MPI_WORLD_NOTHING);
    (void)LOOK(1, true, &alone, &alone); /* a tool of the script */
    (void)look(2, true, 0, NULL);
    (void)LOOK(3, true, &fine, &early);
    assert_int_equal(mpi_world_over(&world, true, words), MPI_WORLD_TELL);
    assert_non_null(strstr(words, "perhaps no gang"));
    world = (struct mpi_world){0};
    (void)LOOK(1, true, &alone, &doubt);
    assert_int_equal(mpi_world_over(&world, true, words), MPI_WORLD_TELL);
}

static void test_looks_follow_the_start_of_a_daemon(void **state)
{
    (void)state;
    world = (struct mpi_world){0};
    int looks = 0;
    for (int64_t since_ms = 0; since_ms < 40000; looks++)
        since_ms += mpi_world_wait_ms(&world, since_ms);
    assert_in_range(looks, 30, MPI_WORLD_LOOKS_SOON - 8);
    assert_int_equal(mpi_world_wait_ms(&world, 0), 200);
    assert_int_equal(mpi_world_wait_ms(&world, 8000), 1000);
    assert_int_equal(mpi_world_wait_ms(&world, 40000), MPI_WORLD_LOOK_MS);
}

static void test_more_ranks_than_are_kept_are_no_proof(void **state)
{
    static const struct mpi_world_facts *ranks[MPI_WORLD_RANKS_MAX + 1];
    (void)state;
    for (size_t i = 0; i <= MPI_WORLD_RANKS_MAX; i++)
        ranks[i] = &alone;
    world = (struct mpi_world){0};
    (void)look(1, true, MPI_WORLD_RANKS_MAX + 1, ranks);
    assert_int_equal(look(40000, true, MPI_WORLD_RANKS_MAX + 1, ranks), MPI_WORLD_TELL);
}

static void test_looks_become_rare_when_all_are_known(void **state)
{
    (void)state;
    world = (struct mpi_world){0};
    assert_int_equal(mpi_world_wait_ms(&world, INT64_MAX), MPI_WORLD_LOOK_MS);
    for (int i = 0; i < MPI_WORLD_LOOKS_SOON; i++) {
        assert_int_equal(mpi_world_wait_ms(&world, INT64_MAX), MPI_WORLD_LOOK_MS);
        (void)LOOK(i * 1000, true, &fine, &early);
    }
    assert_int_equal(mpi_world_wait_ms(&world, INT64_MAX), MPI_WORLD_LOOK_SLOW_MS);
    (void)LOOK(90000, true, &fine, &early, &early);
    assert_int_equal(mpi_world_wait_ms(&world, INT64_MAX), MPI_WORLD_LOOK_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_environment_tells_whose_rank_a_process_is),
        cmocka_unit_test(test_connections_of_a_rank_are_told_from_others),
        cmocka_unit_test(test_a_long_table_of_connections_is_read_in_one_go),
        cmocka_unit_test(test_many_connections_within_a_rank_are_not_all_followed),
        cmocka_unit_test(test_libraries_are_known_by_their_names),
        cmocka_unit_test(test_the_library_s_own_variable_says_whether_mpi_has_begun),
        cmocka_unit_test(test_a_variable_is_believed_only_when_it_begins_as_zero),
        cmocka_unit_test(test_a_rank_is_accused_by_proof_alone),
        cmocka_unit_test(test_all_ranks_of_a_pod_have_to_be_alone_for_long),
        cmocka_unit_test(test_doubts_are_told_once),
        cmocka_unit_test(test_short_ranks_are_judged_when_the_command_has_ended),
        cmocka_unit_test(test_looks_follow_the_start_of_a_daemon),
        cmocka_unit_test(test_more_ranks_than_are_kept_are_no_proof),
        cmocka_unit_test(test_looks_become_rare_when_all_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
