module yardstick_gosched

go 1.19
