/* draw.h - random numbers of the simulator: a seed gives the same ones on every machine. */
#pragma once
#include <stdint.h>

struct draw {
    uint64_t state;
};
double draw_uniform(struct draw *d); /* above 0, below 1 */
double draw_exponential(struct draw *d, double mean);
double draw_normal(struct draw *d); /* mean 0, deviation 1 */
/* exp(mu + sigma x normal): the mean is exp(mu + sigma^2 / 2). */
double draw_lognormal(struct draw *d, double mu, double sigma);
/* Burr XII by its inverse: lambda x ((1 - u)^(-1/k) - 1)^(1/c). */
double draw_burr(struct draw *d, double c, double k, double lambda);
