/* main.c - rouse, the command line: what a function author types. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
