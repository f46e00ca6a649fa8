// What a scheduler keeps and how fair it is: parked tasks, late timers, computing beside blocking reads, HTTP.
package main

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Resident memory and page tables, in bytes.
func resident() (pages, tables int) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "VmRSS:") {
			fmt.Sscan(line[6:], &pages)
		} else if strings.HasPrefix(line, "VmPTE:") {
			fmt.Sscan(line[6:], &tables)
		}
	}
	return pages * 1024, tables * 1024
}

// Bytes for each of n tasks that wait on one channel, all alive at once.
func parked(n int) {
	var begun sync.WaitGroup
	var ended sync.WaitGroup
	gate := make(chan int)
	pages, tables := resident()
	begun.Add(n)
	ended.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			begun.Done()
			<-gate
			ended.Done()
		}()
	}
	begun.Wait()
	time.Sleep(10 * time.Millisecond)
	p, t := resident()
	fmt.Printf("%.1f %.1f\n", float64(p-pages)/float64(n), float64(t-tables)/float64(n))
	close(gate)
	ended.Wait()
}

func percentiles(late []float64) {
	sort.Float64s(late)
	fmt.Printf("%.3f %.3f\n", late[len(late)/2], late[len(late)*99/100])
}

// How late, in ms, sleeps of 1 ms end beside a task that computes without a word. `again`: the milliseconds after
// which that task yields once; 0: never.
func starved(again int) {
	var stop int32
	var late []float64
	done := make(chan int)
	go func() {
		for atomic.LoadInt32(&stop) == 0 {
			until := time.Now().Add(time.Duration(again) * time.Millisecond)
			for atomic.LoadInt32(&stop) == 0 && (again == 0 || time.Now().Before(until)) {
				for i := 0; i < 1000; i++ {
					spin.step()
				}
			}
			time.Sleep(0)
		}
		close(done)
	}()
	for i := 0; i < 200; i++ {
		until := time.Now().Add(time.Millisecond)
		time.Sleep(time.Millisecond)
		late = append(late, float64(time.Since(until).Nanoseconds())/1e6)
	}
	atomic.StoreInt32(&stop, 1)
	<-done
	percentiles(late)
}

type generator uint64

var spin generator = 1

func (g *generator) step() {
	*g ^= *g << 13
	*g ^= *g >> 7
	*g ^= *g << 17
}

// A third of a second of computing that yields every 50 us or so.
func work() time.Duration {
	began := time.Now()
	for i := 0; i < 6000; i++ {
		for j := 0; j < 25000; j++ {
			spin.step()
		}
		runtime.Gosched()
	}
	return time.Since(began)
}

// The share of its speed that a computing task keeps beside so many tasks in read(2), and the milliseconds until
// all of them were in it.
func compute(readers int) {
	alone := work()
	var begun, ended sync.WaitGroup
	begun.Add(readers)
	ended.Add(readers)
	began := time.Now()
	var ends []int
	for i := 0; i < readers; i++ {
		p := make([]int, 2)
		if err := syscall.Pipe(p); err != nil {
			panic(err)
		}
		ends = append(ends, p[1])
		go func() {
			begun.Done()
			syscall.Read(p[0], make([]byte, 1))
			ended.Done()
		}()
	}
	begun.Wait()
	ramp := time.Since(began)
	fmt.Printf("%.4f %.1f\n", float64(alone)/float64(work()), float64(ramp.Microseconds())/1e3)
	for _, fd := range ends {
		syscall.Close(fd)
	}
	ended.Wait()
}

func serve(port string) {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Write([]byte("Hello"))
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:"+port, nil))
	os.Exit(1)
}
