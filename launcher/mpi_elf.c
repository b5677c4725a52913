/* Reads the dynamic section of an ELF file: see mpi_elf.h. */
#include "launcher/mpi_elf.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"

/* Everything that is needed of a file while it is read. */
struct reading {
    const struct mpi_files *files;
    const char *path;
    Elf64_Phdr segments[MPI_ELF_SEGMENTS_MAX];
    unsigned segments_count;
    Elf64_Dyn dynamic[MPI_ELF_DYNAMIC_MAX];
    unsigned dynamic_count;
    uint64_t names_at; /* of the string table in the file */
};

static int read_whole(const struct reading *r, uint64_t offset, void *to, size_t size)
{
    ssize_t n = r->files->read(r->files->arg, r->path, offset, to, size);
    if (n < 0)
        return (int)n;
    return (size_t)n == size ? 0 : -EPROTO;
}

static int read_header(struct reading *r, Elf64_Ehdr *header)
{
    static const unsigned char order =
        __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
    ssize_t n = r->files->read(r->files->arg, r->path, 0, header, sizeof *header);
    if (n < 0)
        return (int)n;
    if ((size_t)n < sizeof *header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != order)
        return -ENOEXEC;
    if (header->e_phnum && header->e_phentsize != sizeof(Elf64_Phdr))
        return -EPROTO;
    r->segments_count =
        header->e_phnum < MPI_ELF_SEGMENTS_MAX ? header->e_phnum : MPI_ELF_SEGMENTS_MAX;
    return read_whole(r, header->e_phoff, r->segments, r->segments_count * sizeof r->segments[0]);
}

/* Where in the file an address lies that a loaded segment holds. */
static bool place_of(const struct reading *r, uint64_t address, uint64_t *ret)
{
    for (unsigned i = 0; i < r->segments_count; i++) {
        const Elf64_Phdr *s = &r->segments[i];
        if (s->p_type != PT_LOAD || address < s->p_vaddr || address - s->p_vaddr >= s->p_filesz)
            continue;
        *ret = s->p_offset + (address - s->p_vaddr);
        return true;
    }
    return false;
}

static int read_dynamic(struct reading *r)
{
    const Elf64_Phdr *section = NULL;
    for (unsigned i = 0; i < r->segments_count && !section; i++)
        if (r->segments[i].p_type == PT_DYNAMIC)
            section = &r->segments[i];
    if (!section)
        return 0;
    uint64_t count = section->p_filesz / sizeof r->dynamic[0];
    r->dynamic_count = count < MPI_ELF_DYNAMIC_MAX ? (unsigned)count : MPI_ELF_DYNAMIC_MAX;
    int rc = read_whole(r, section->p_offset, r->dynamic, r->dynamic_count * sizeof r->dynamic[0]);
    if (rc < 0)
        return rc;
    bool found = false;
    for (unsigned i = 0; i < r->dynamic_count; i++) {
        if (r->dynamic[i].d_tag == DT_NULL)
            r->dynamic_count = i;
        else if (r->dynamic[i].d_tag == DT_STRTAB)
            found = place_of(r, r->dynamic[i].d_un.d_ptr, &r->names_at);
    }
    return found || r->dynamic_count == 0 ? 0 : -EPROTO;
}

/* A name of the string table, kept in *ret; "" when it is too long, or there is no room. */
static const char *take_name(const struct reading *r, uint64_t offset, struct mpi_elf *ret)
{
    char name[MPI_WIREUP_PATH_MAX];
    if (offset > UINT32_MAX)
        return "";
    ssize_t n = r->files->read(r->files->arg, r->path, r->names_at + offset, name, sizeof name);
    size_t length = n > 0 ? strnlen(name, (size_t)n) : 0;
    if (n <= 0 || length == (size_t)n || ret->strings_length + length + 1 > MPI_ELF_STRINGS_MAX)
        return "";
    char *kept = ret->strings + ret->strings_length;
    memcpy(kept, name, length + 1);
    ret->strings_length += length + 1;
    return kept;
}

int mpi_elf_read(const struct mpi_files *files, const char *path, struct mpi_elf *ret)
{
    struct reading r = {.files = files, .path = path};
    Elf64_Ehdr header;
    int rc = read_header(&r, &header);
    if (rc == 0)
        rc = read_dynamic(&r);
    if (rc < 0)
        return rc;
    ret->needed_count = 0;
    ret->strings_length = 0;
    ret->rpath = ret->runpath = "";
    ret->machine = header.e_machine;
    for (unsigned i = 0; i < r.dynamic_count; i++) {
        const Elf64_Dyn *entry = &r.dynamic[i];
        if (entry->d_tag == DT_RPATH)
            ret->rpath = take_name(&r, entry->d_un.d_val, ret);
        else if (entry->d_tag == DT_RUNPATH)
            ret->runpath = take_name(&r, entry->d_un.d_val, ret);
        else if (entry->d_tag == DT_NEEDED && ret->needed_count < MPI_ELF_NEEDED_MAX)
            ret->needed[ret->needed_count++] = take_name(&r, entry->d_un.d_val, ret);
    }
    return 0;
}

/* ---- a variable ---- */

/* The section of the symbols that other objects see, and that of their names. */
static int find_symbols(const struct reading *r, const Elf64_Ehdr *header, Elf64_Shdr *ret_symbols,
                        Elf64_Shdr *ret_names)
{
    Elf64_Shdr sections[MPI_ELF_SECTIONS_MAX];
    if (header->e_shnum == 0 || header->e_shnum > MPI_ELF_SECTIONS_MAX ||
        header->e_shentsize != sizeof sections[0])
        return -ENOENT;
    int rc = read_whole(r, header->e_shoff, sections, header->e_shnum * sizeof sections[0]);
    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_DYNSYM || sections[i].sh_link >= header->e_shnum)
            continue;
        *ret_symbols = sections[i];
        *ret_names = sections[sections[i].sh_link];
        return 0;
    }
    return -ENOENT;
}

/* Behind what a segment has in the file, and so zero until somebody writes there. */
static bool is_zeroed(const struct reading *r, uint64_t address, size_t size)
{
    for (unsigned i = 0; i < r->segments_count; i++) {
        const Elf64_Phdr *s = &r->segments[i];
        if (s->p_type == PT_LOAD && s->p_memsz >= size && address >= s->p_vaddr + s->p_filesz &&
            address - s->p_vaddr <= s->p_memsz - size)
            return true;
    }
    return false;
}

static bool begins_at_zero(const struct reading *r)
{
    for (unsigned i = 0; i < r->segments_count; i++)
        if (r->segments[i].p_type == PT_LOAD)
            return r->segments[i].p_vaddr == 0 && r->segments[i].p_offset == 0;
    return false;
}

int mpi_elf_zeroed(const struct mpi_files *files, const char *path, const char *name, size_t size,
                   uint64_t *ret_offset)
{
    struct reading r = {.files = files, .path = path};
    Elf64_Ehdr header;
    Elf64_Shdr symbols = {0}, names = {0};
    int rc = read_header(&r, &header);
    if (rc == 0)
        rc = header.e_type == ET_DYN && begins_at_zero(&r)
                 ? find_symbols(&r, &header, &symbols, &names)
                 : -ENOENT;
    if (rc < 0)
        return rc;
    if (symbols.sh_size > MPI_ELF_SYMBOLS_MAX * sizeof(Elf64_Sym) ||
        names.sh_size > MPI_ELF_SYMBOL_NAMES_MAX)
        return -E2BIG;
    cleanup_free Elf64_Sym *list = malloc(symbols.sh_size + 1);
    cleanup_free char *texts = malloc(names.sh_size + 1);
    if (!list || !texts)
        return -ENOMEM;
    rc = read_whole(&r, symbols.sh_offset, list, symbols.sh_size);
    if (rc == 0)
        rc = read_whole(&r, names.sh_offset, texts, names.sh_size);
    if (rc < 0)
        return rc;
    texts[names.sh_size] = '\0';
    for (size_t i = 0; i < symbols.sh_size / sizeof *list; i++) {
        if (list[i].st_name >= names.sh_size || strcmp(texts + list[i].st_name, name) != 0)
            continue;
        if (list[i].st_shndx == SHN_UNDEF || list[i].st_size != size ||
            ELF64_ST_TYPE(list[i].st_info) != STT_OBJECT || !is_zeroed(&r, list[i].st_value, size))
            return -ENOENT;
        *ret_offset = list[i].st_value;
        return 0;
    }
    return -ENOENT;
}
