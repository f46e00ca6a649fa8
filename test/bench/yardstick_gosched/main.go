// What sched_tasks.c and its neighbours do, on Go's scheduler: yardstick_gosched NAME [ARGUMENT].
//
// Each measures itself after a warm-up and prints nanoseconds of one operation; the pairs do the same work.
// GOMAXPROCS sets the processors.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// measure runs the work at a tenth of its size, then at all of it.
func measure(n int, work func(n int)) {
	work(n / 10)
	began := time.Now()
	work(n)
	fmt.Printf("%.2f\n", float64(time.Since(began).Nanoseconds())/float64(n))
}

func spawn(n int) {
	var wg sync.WaitGroup
	for i := 0; i < n; i++ {
		wg.Add(1)
		go func() { wg.Done() }()
	}
	wg.Wait()
}

// n yields, by `tasks` tasks together.
func yield(tasks int) func(n int) {
	return func(n int) {
		var wg sync.WaitGroup
		wg.Add(tasks)
		for i := 0; i < tasks; i++ {
			go func() {
				for j := 0; j < n/tasks; j++ {
					runtime.Gosched()
				}
				wg.Done()
			}()
		}
		wg.Wait()
	}
}

func pingpong(n int) {
	there, back, done := make(chan int), make(chan int), make(chan int)
	go func() {
		for i := 0; i < n; i++ {
			back <- <-there
		}
		close(done)
	}()
	for i := 0; i < n; i++ {
		there <- i
		if <-back != i {
			panic("pingpong")
		}
	}
	<-done
}

func buffered(n int) {
	items, done := make(chan int, 128), make(chan int)
	go func() {
		sum := 0
		for i := range items {
			sum += i
		}
		done <- sum
	}()
	for i := 0; i < n; i++ {
		items <- i
	}
	close(items)
	if <-done != n*(n-1)/2 {
		panic("buffered")
	}
}

func skynetNode(up chan int, first, size int) {
	if size == 1 {
		up <- first
		return
	}
	down := make(chan int)
	for i := 0; i < 10; i++ {
		go skynetNode(down, first+i*(size/10), size/10)
	}
	sum := 0
	for i := 0; i < 10; i++ {
		sum += <-down
	}
	up <- sum
}

func skynet(n int) {
	up := make(chan int)
	go skynetNode(up, 0, n)
	if <-up != n*(n-1)/2 {
		panic("skynet")
	}
}

func fibNode(n int, ret *int, parent *sync.WaitGroup) {
	defer parent.Done()
	if n < 2 {
		*ret = n
		return
	}
	var a, b int
	var wg sync.WaitGroup
	wg.Add(2)
	go fibNode(n-1, &a, &wg)
	go fibNode(n-2, &b, &wg)
	wg.Wait()
	*ret = a + b
}

func fib(n, want int) {
	var r int
	var wg sync.WaitGroup
	wg.Add(1)
	go fibNode(n, &r, &wg)
	wg.Wait()
	if r != want {
		panic("fib")
	}
}

// 832,040 nodes; 75,025 to warm up.
func fib27(n int) {
	if n >= 832040 {
		fib(27, 196418)
	} else {
		fib(22, 17711)
	}
}

const mutexTasks = 64

// n lockings by 64 tasks, with a few nanoseconds of work in each.
func mutex(n int) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	sum, state := 0, uint64(1)
	wg.Add(mutexTasks)
	for i := 0; i < mutexTasks; i++ {
		go func() {
			for j := 0; j < n/mutexTasks; j++ {
				mu.Lock()
				state ^= state << 13
				state ^= state >> 7
				state ^= state << 17
				sum++
				mu.Unlock()
			}
			wg.Done()
		}()
	}
	wg.Wait()
	if sum != n/mutexTasks*mutexTasks {
		panic("mutex")
	}
}

func main() {
	name, argument := os.Args[1], 0
	if len(os.Args) > 2 {
		argument, _ = strconv.Atoi(os.Args[2])
	}
	switch name {
	case "spawn":
		measure(1000000, spawn)
	case "yield2":
		measure(10000000, yield(2))
	case "yield1000":
		measure(10000000, yield(1000))
	case "pingpong":
		measure(2000000, pingpong)
	case "buffered":
		measure(10000000, buffered)
	case "skynet":
		measure(1000000, skynet)
	case "fib":
		measure(832040, fib27)
	case "mutex":
		measure(10000000, mutex)
	case "parked":
		parked(argument)
	case "starved":
		starved(argument)
	case "compute":
		compute(argument)
	case "--port": // --port PORT http
		serve(os.Args[2])
	default:
		fmt.Fprintln(os.Stderr, "yardstick_gosched: no", name)
		os.Exit(2)
	}
}
