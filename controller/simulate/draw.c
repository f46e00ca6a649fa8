#include "simulate/draw.h"

#include <math.h>

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next(struct draw *d)
{
    uint64_t z = d->state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

double draw_uniform(struct draw *d)
{
    return ((double)(next(d) >> 11) + 0.5) * 0x1p-53;
}

double draw_exponential(struct draw *d, double mean)
{
    return -mean * log(draw_uniform(d));
}

/* Box and Muller 1958; the second number is not kept, so that a draw has no hidden state. */
double draw_normal(struct draw *d)
{
    double radius = sqrt(-2 * log(draw_uniform(d)));

    return radius * cos(2 * M_PI * draw_uniform(d));
}

double draw_lognormal(struct draw *d, double mu, double sigma)
{
    return exp(mu + sigma * draw_normal(d));
}

double draw_burr(struct draw *d, double c, double k, double lambda)
{
    return lambda * pow(pow(1 - draw_uniform(d), -1 / k) - 1, 1 / c);
}
