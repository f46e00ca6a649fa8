/* main.c - rouse-unpack: unpacks what the agent that starts it has fetched. Nobody else calls it. */
#include "code/cache.h"

int main(void)
{
    code_unpack_main();
}
