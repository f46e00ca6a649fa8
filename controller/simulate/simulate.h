/* simulate.h - `rouse-controller simulate`: the controller's own decisions, and others', on a trace, as a table. */
#pragma once

/* Arguments as main()'s without the program's and the command's names. The exit code: 2 for bad arguments. */
int simulate_main(int argc, char **argv);
