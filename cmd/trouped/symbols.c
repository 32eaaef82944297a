/* SPDX-License-Identifier: Apache-2.0 */
/* Names of addresses, by dladdr and the ELF symbol table: see symbols.h, also for invariants. */
#include "trouped/symbols.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct elf_image {
    const unsigned char *data;
    size_t size;
} elf_image;

/* `size` bytes at `offset` of the file; NULL: they are not all there. */
static const void *part(const elf_image *image, uint64_t offset, uint64_t size)
{
    if (offset > image->size || size > image->size - offset) return NULL;
    return image->data + offset;
}

/* The function of one symbol table that holds `offset`; copies its name. */
static bool find_in_table(const elf_image *image, const ElfW(Shdr) * table,
                          const ElfW(Shdr) * strings, uint64_t offset, char *name,
                          size_t name_size, uint64_t *ret_begin)
{
    const char *names = part(image, strings->sh_offset, strings->sh_size);
    const char *symbols = part(image, table->sh_offset, table->sh_size);
    if (names == NULL || symbols == NULL || table->sh_entsize != sizeof(ElfW(Sym))) return false;
    for (uint64_t at = 0; at + sizeof(ElfW(Sym)) <= table->sh_size; at += sizeof(ElfW(Sym))) {
        ElfW(Sym) symbol;
        memcpy(&symbol, symbols + at, sizeof(symbol));
        if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF) continue;
        if (offset < symbol.st_value || offset - symbol.st_value >= symbol.st_size) continue;
        if (symbol.st_name >= strings->sh_size) continue;
        size_t left = (size_t)(strings->sh_size - symbol.st_name);
        snprintf(name, name_size, "%.*s", (int)strnlen(names + symbol.st_name, left),
                 names + symbol.st_name);
        *ret_begin = symbol.st_value;
        return true;
    }
    return false;
}

static bool find_in_image(const elf_image *image, uint64_t offset, char *name, size_t name_size,
                          uint64_t *ret_begin)
{
    const ElfW(Ehdr) *head = part(image, 0, sizeof(*head));
    if (head == NULL || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0) return false;
    if (head->e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)) return false;
    const ElfW(Shdr) *sections = part(image, head->e_shoff,
                                      (uint64_t)head->e_shnum * sizeof(*sections));
    if (sections == NULL || head->e_shoff % sizeof(uint64_t) != 0) return false;
    for (unsigned i = 0; i < head->e_shnum; i++) {
        bool is_table = sections[i].sh_type == SHT_SYMTAB || sections[i].sh_type == SHT_DYNSYM;
        if (!is_table || sections[i].sh_link >= head->e_shnum) continue;
        if (find_in_table(image, &sections[i], &sections[sections[i].sh_link], offset, name,
                          name_size, ret_begin)) {
            return true;
        }
    }
    return false;
}

static bool find_in_file(const char *path, uint64_t offset, char *name, size_t name_size,
                         uint64_t *ret_begin)
{
    struct stat status;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return false;
    bool is_found = false;
    if (fstat(descriptor, &status) == 0 && status.st_size > 0) {
        size_t size = (size_t)status.st_size;
        void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (data != MAP_FAILED) {
            elf_image image = {data, size};
            is_found = find_in_image(&image, offset, name, name_size, ret_begin);
            munmap(data, size);
        }
    }
    close(descriptor);
    return is_found;
}

void symbol_print(const void *address, char *out, size_t size)
{
    Dl_info info;
    struct link_map *map = NULL;
    uintptr_t place = (uintptr_t)address - 1;
    if (dladdr1((const void *)place, &info, (void **)&map, RTLD_DL_LINKMAP) == 0 || map == NULL) {
        snprintf(out, size, "%p", address);
        return;
    }
    /* The program itself has an empty name. */
    const char *path = map->l_name[0] != 0 ? map->l_name : "/proc/self/exe";
    const char *slash = strrchr(info.dli_fname, '/');
    const char *file = slash != NULL ? slash + 1 : info.dli_fname;
    uint64_t offset = place - (uintptr_t)map->l_addr;
    uint64_t begin = 0;
    char name[128];
    if (find_in_file(path, offset, name, sizeof(name), &begin)) {
        snprintf(out, size, "%s+0x%llx (%s+0x%llx)", name,
                 (unsigned long long)(offset + 1 - begin), file, (unsigned long long)offset + 1);
    } else {
        snprintf(out, size, "%s+0x%llx", file, (unsigned long long)offset + 1);
    }
}
