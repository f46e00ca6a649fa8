#include "cgroup/layout.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const controller_names[CGROUP_CONTROLLERS] = {
    [CGROUP_MEMORY] = "memory", [CGROUP_CPU] = "cpu",         [CGROUP_PIDS] = "pids",
    [CGROUP_IO] = "io",         [CGROUP_CPUACCT] = "cpuacct", [CGROUP_FREEZER] = "freezer",
};

const char *cgroup_controller_name(enum cgroup_controller c)
{
    return controller_names[c];
}

static const char *name_on_v1(int c)
{
    return c == CGROUP_IO ? "blkio" : controller_names[c];
}

/* Is `word` one of the words of `list`, which are separated by one of `separators`? */
static bool has_word(const char *list, const char *word, const char *separators)
{
    size_t n = strlen(word);

    for (const char *p = list; *p;) {
        size_t w = strcspn(p, separators);

        if (w == n && !strncmp(p, word, n))
            return true;
        p += w;
        p += strspn(p, separators);
    }
    return false;
}

/* The process's path in the hierarchy of `controller` ("": the unified one), NULL if absent. */
static char *own_path(const char *cgroup, const char *controller)
{
    for (const char *line = cgroup; line && *line; line = strchr(line, '\n')) {
        const char *list, *path;
        size_t n;

        line += *line == '\n';
        n = strcspn(line, "\n");
        list = memchr(line, ':', n);
        path = list ? memchr(list + 1, ':', (size_t)(line + n - list) - 1) : NULL;
        if (!path)
            continue;
        list++;
        if (*controller ? path > list : path == list && !strncmp(line, "0:", 2)) {
            cleanup_free char *words = strndup(list, (size_t)(path - list));

            if (!words)
                return NULL;
            if (!*controller || has_word(words, controller, ","))
                return strndup(path + 1, (size_t)(line + n - path) - 1);
        }
    }
    return NULL;
}

/* Undoes mountinfo's \ooo in place. */
static void unescape(char *s)
{
    char *to = s;

    for (; *s; s++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
            s[3] >= '0' && s[3] <= '7') {
            *to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + s[3] - '0');
            s += 3;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
}

struct mount_line {
    char *root, *point, *type, *options;
};

/* "36 35 98:0 /root /point rw,noatime shared:1 - type source rw,options", cut in place. */
static bool mount_parse(char *line, struct mount_line *ret)
{
    char *field[6], *rest = line, *tail = strstr(line, " - ");
    char *source;

    if (!tail)
        return false;
    *tail = '\0';
    for (int i = 0; i < 6; i++)
        if (!(field[i] = strsep(&rest, " ")))
            return false;
    rest = tail + 3;
    ret->type = strsep(&rest, " ");
    source = strsep(&rest, " ");
    if (!source || !rest)
        return false;
    ret->options = rest;
    ret->root = field[3];
    ret->point = field[4];
    unescape(ret->root);
    unescape(ret->point);
    return true;
}

/* Where `path` of a hierarchy lies when `m` shows it; NULL if it does not. */
static char *visible(const struct mount_line *m, const char *path)
{
    size_t n = strcmp(m->root, "/") ? strlen(m->root) : 0;
    char *dir;

    if (!strncmp(path, "/..", 3) || strncmp(path, m->root, n) || (path[n] != '/' && path[n] != '\0'))
        return NULL;
    path += n;
    if (asprintf(&dir, "%s%s", m->point, strcmp(path, "/") ? path : "") < 0)
        return NULL;
    return dir;
}

static void take_mount(const struct mount_line *m, const char *cgroup, struct cgroup_layout *l)
{
    if (!strcmp(m->type, "cgroup2") && !l->v2) {
        cleanup_free char *path = own_path(cgroup, "");

        l->v2 = path ? visible(m, path) : NULL;
    }
    if (strcmp(m->type, "cgroup"))
        return;
    for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
        if (!l->v1[c] && has_word(m->options, name_on_v1(c), ",")) {
            cleanup_free char *path = own_path(cgroup, name_on_v1(c));

            l->v1[c] = path ? visible(m, path) : NULL;
        }
    }
}

int cgroup_layout_parse(const char *cgroup, const char *mountinfo, struct cgroup_layout *ret)
{
    cleanup_free char *text = strdup(mountinfo);
    char *rest = text;
    char *line;

    if (!text)
        return -ENOMEM;
    *ret = (struct cgroup_layout){0};
    while ((line = strsep(&rest, "\n"))) {
        struct mount_line m;

        if (mount_parse(line, &m))
            take_mount(&m, cgroup, ret);
    }
    return 0;
}

void cgroup_layout_done(struct cgroup_layout *l)
{
    for (int c = 0; c < CGROUP_CONTROLLERS; c++)
        free(l->v1[c]);
    free(l->v2);
    *l = (struct cgroup_layout){0};
}

static size_t tree_add(struct cgroup_tree *trees, size_t n, const char *own, bool v2, unsigned bits)
{
    for (size_t i = 0; i < n; i++) {
        if (trees[i].v2 == v2 && !strcmp(trees[i].own, own)) {
            trees[i].controllers |= bits;
            return n;
        }
    }
    trees[n] = (struct cgroup_tree){.own = own, .v2 = v2, .controllers = bits, .dir = -1};
    return n + 1;
}

size_t cgroup_trees(const struct cgroup_layout *l, const char *v2_controllers, bool v1_only,
                    struct cgroup_tree trees[CGROUP_TREES_MAX])
{
    const char *v2 = v1_only ? NULL : l->v2;
    size_t n = 0;

    if (v2)
        n = tree_add(trees, n, v2, true, 1u << CGROUP_CPUACCT | 1u << CGROUP_FREEZER);
    for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
        if (v2 && (c == CGROUP_CPUACCT || c == CGROUP_FREEZER))
            continue;
        if (l->v1[c])
            n = tree_add(trees, n, l->v1[c], false, 1u << c);
        else if (v2 && has_word(v2_controllers, controller_names[c], " \n"))
            n = tree_add(trees, n, v2, true, 1u << c);
    }
    return n;
}

const char *cgroup_trees_name(const struct cgroup_tree *trees, size_t n)
{
    bool v1 = false, v2 = false;

    for (size_t i = 0; i < n; i++) {
        v1 |= !trees[i].v2;
        v2 |= trees[i].v2;
    }
    return v1 && v2 ? "hybrid" : v2 ? "v2" : v1 ? "v1" : "none";
}
