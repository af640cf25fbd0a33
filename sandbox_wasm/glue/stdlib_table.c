#include "stdlib_table.h"

static const unsigned char stdlib[] = {
#embed "stdlib.bin"
};

static const unsigned char bootstrap[] = {
#embed "bootstrap.bin"
};

static const unsigned char calls[] = {
#embed "calls.bin"
};

static const unsigned char documents[] = {
#embed "documents.bin"
};

static const unsigned char helpers[] = {
#embed "helpers.bin"
};

static const unsigned char packages[] = {
#embed "packages.bin"
};

static const unsigned char shown[] = {
#embed "shown.bin"
};

static const unsigned char tasks[] = {
#embed "tasks.bin"
};

#define FROZEN(name, offset, size, is_package) {name, stdlib + offset, size, is_package},

const struct _frozen stdlib_table[] = {
#include "stdlib_modules.inc"
    {"_rlm_bootstrap", bootstrap, sizeof bootstrap, 0},
    {"_rlm_calls", calls, sizeof calls, 0},
    {"_rlm_documents", documents, sizeof documents, 0},
    {"_rlm_helpers", helpers, sizeof helpers, 0},
    {"_rlm_packages", packages, sizeof packages, 0},
    {"_rlm_shown", shown, sizeof shown, 0},
    {"_rlm_tasks", tasks, sizeof tasks, 0},
    {NULL, NULL, 0, 0},
};
