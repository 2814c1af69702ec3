/* A PKCS#11 module that passes all calls on to SoftHSM, except one.
 *
 * FAULTY_FUNCTION is the number of a function in CK_FUNCTION_LIST (PKCS#11 2.40, section 5), counted
 * from 0, or "load" for the loading of the module. FAULTY_ACTION is what happens there: hang, crash,
 * exit, or the number of the CK_RV that the function returns. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FUNCTIONS 68

struct list {
    unsigned char major, minor;
    void *functions[FUNCTIONS];
};

static struct list faulty;

static unsigned long fail(void) {
    const char *action = getenv("FAULTY_ACTION");
    if (strcmp(action, "hang") == 0)
        for (;;) pause();
    if (strcmp(action, "crash") == 0) *(volatile char *)0 = 0;
    if (strcmp(action, "exit") == 0) _exit(0);
    return strtoul(action, NULL, 0);
}

__attribute__((constructor)) static void load(void) {
    const char *function = getenv("FAULTY_FUNCTION");
    if (function && strcmp(function, "load") == 0) fail();
}

unsigned long C_GetFunctionList(struct list **list) {
    void *softhsm = dlopen("/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW);
    unsigned long (*get)(struct list **) = (unsigned long (*)(struct list **))dlsym(softhsm, "C_GetFunctionList");
    struct list *own;
    unsigned long result = get(&own);
    faulty = *own;
    const char *function = getenv("FAULTY_FUNCTION");
    if (function) faulty.functions[strtoul(function, NULL, 0)] = (void *)fail;
    *list = &faulty;
    return result;
}
