/* What the end of an MPI rank means: see mpi_rank.h. */
#include "launcher/mpi_rank.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

bool mpi_rank_mapped(struct mpi_rank *rank, const char *library, int64_t now_ms)
{
    if (rank->connected || rank->alone)
        return false;
    if (rank->mapped_at_ms == 0) {
        rank->mapped_at_ms = now_ms > 0 ? now_ms : 1;
        (void)snprintf(rank->mapped, sizeof rank->mapped, "%.*s", (int)sizeof rank->mapped - 1,
                       library);
        return false;
    }
    if (now_ms - rank->mapped_at_ms < MPI_RANK_ALONE_MS)
        return false;
    rank->alone = true;
    return true;
}

bool mpi_rank_is_stranded(const struct mpi_rank *ranks, uint32_t count, uint32_t rank,
                          uint32_t *ret_left)
{
    const struct mpi_rank *r = &ranks[rank];
    if (!r->connected || r->finalized || r->left)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (ranks[i].left && ranks[i].programs < r->programs) {
            *ret_left = i;
            return true;
        }
    return false;
}

/* What to do about it, by what is known of the program. `seen`: that it uses this library. */
static const char *advice(const struct mpi_wireup *wireup, enum mpi_family family, bool seen)
{
    if (family == MPI_FAMILY_MPIRUN)
        return "the command calls mpirun or mpiexec: set spec.mpi.wireup to rsh, or let it be the "
               "MPI "
               "program itself";
    if (family == MPI_FAMILY_NONE || !seen)
        return family == MPI_FAMILY_NONE
                   ? "is this an MPI program? For others there are the frameworks pytorch and plain"
                   : "is this an MPI program? Of another MPI: set spec.mpi.wireup; of none: there "
                     "are the "
                     "frameworks pytorch and plain";
    if (family == MPI_FAMILY_OPEN_MPI && wireup->wireup != RENDEZVOUS_WIREUP_PMIX)
        return "this is Open MPI: set spec.mpi.wireup to pmix";
    if (family == MPI_FAMILY_MPICH && wireup->wireup != RENDEZVOUS_WIREUP_PMI1)
        return "this is MPICH or one of its kind: set spec.mpi.wireup to pmi1";
    if (family == MPI_FAMILY_OPEN_MPI)
        return "is it built with PMIx, and with the libpmix.so.2 of this image?";
    return "is it built with PMI-1, MPICH's `simple` process manager interface?";
}

/* Short: a failure's message in the job's status has 300 bytes. */
static void judge_alone(const struct mpi_rank *rank, const struct mpi_wireup *wireup,
                        struct mpi_rank_end *end)
{
    const char *library = rank->mapped[0] ? rank->mapped : wireup->library;
    const char *slash = strrchr(library, '/');
    enum mpi_family family = rank->mapped[0] ? mpi_family_of_library(rank->mapped) : wireup->family;
    bool seen = rank->mapped[0] || !wireup->of_image;
    char what[48] = "it ended well";
    if (rank->alone)
        (void)snprintf(what, sizeof what, "%d s with MPI in memory", MPI_RANK_ALONE_MS / 1000);
    end->code = MPI_RANK_CODE_ALONE;
    end->signal = 0;
    (void)snprintf(end->words, sizeof end->words,
                   "no part of the gang: %s without MPI_Init over %s (%s%.60s); %s", what,
                   rendezvous_wireup_name(wireup->wireup),
                   library[0] && !seen ? "found in the image: " : "",
                   library[0] ? (slash ? slash + 1 : library) : "no MPI library found",
                   advice(wireup, family, seen));
}

/* Where `one && other` cannot be, the other's own words do not say why. PMIx before 5 loses track
 * of a rank that comes back in its stores ds12 and ds21 (openpmix issue 1211); MPICH 4.0's
 * MPI_Finalize shuts down the socket that its shell has handed it, and the next program gets
 * SIGPIPE. */
static const char *second_program(const struct mpi_rank *rank, const struct mpi_wireup *wireup,
                                  const struct mpi_rank_end *end)
{
    if (rank->again && !rank->finalized)
        return "a second MPI program in this rank: Open MPI 4 starts only one; PMIX_MCA_gds: hash "
               "in "
               "`env` of the container lets it start several, one after the other";
    if (wireup->wireup == RENDEZVOUS_WIREUP_PMI1 && rank->finalized &&
        (end->signal == SIGPIPE || end->code == 128 + SIGPIPE))
        return "SIGPIPE after MPI_Finalize: a second MPI program in this rank? MPICH 4 starts only "
               "one; with spec.mpi.wireup rsh a script may call mpiexec for each";
    return NULL;
}

void mpi_rank_judge(const struct mpi_rank *rank, const struct mpi_wireup *wireup,
                    struct mpi_rank_end *end)
{
    bool well = end->code == 0 && end->signal == 0;
    const char *second = second_program(rank, wireup, end);
    end->words[0] = '\0';
    if (rank->aborted) {
        int32_t code = rank->abort_code & 255;
        end->code = code ? code : 1;
        end->signal = 0;
        (void)snprintf(end->words, sizeof end->words, "it has called MPI_Abort with code %d%s%s",
                       rank->abort_code, rank->abort_words[0] ? ": " : "", rank->abort_words);
    } else if (rank->lost_words[0] && end->signal == SIGKILL) {
        end->code = rank->lost_for_good ? MPI_RANK_CODE_ALONE : 1;
        end->signal = 0;
        (void)snprintf(end->words, sizeof end->words, "%s", rank->lost_words);
    } else if (rank->alone && (end->signal == SIGKILL || well)) {
        judge_alone(rank, wireup, end);
    } else if (rank->broken_words[0]) {
        end->code = well ? 1 : end->code;
        (void)snprintf(end->words, sizeof end->words, "its connection to the launcher (%s): %s",
                       rendezvous_wireup_name(wireup->wireup), rank->broken_words);
    } else if (second) {
        end->code = well ? 1 : end->code;
        (void)snprintf(end->words, sizeof end->words, "%s", second);
    } else if (well && !rank->connected) {
        judge_alone(rank, wireup, end);
    } else if (well && !rank->finalized) {
        end->code = 1;
        (void)snprintf(end->words, sizeof end->words,
                       "it ended well, but without MPI_Finalize: the others would wait for it");
    }
}
