/* Plays cases that are written as text (README.md has the words) on a ledger, and compares what it
 * decides. */
#ifndef TESTS_CONFORMANCE_SCHEDULERS_PLAY_H
#define TESTS_CONFORMANCE_SCHEDULERS_PLAY_H

/* Plays all cases of a file of this folder. Prints each that goes otherwise than it says, with file
 * and line; the number of these comes back, and in *ret_cases the number of all. A file that is not
 * there, or a word that is none, ends the program. */
unsigned play_file(const char *name, unsigned *ret_cases);

#endif
