// What the real autoscaler of Knative Serving makes of a load, for autoscaler_test.py.
//
// stdin: scenarios as JSON, one a line. stdout: of each, a line that begins with "= " and has the pods that
// it wants after each second step, steps being 1 s apart.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/serving/pkg/autoscaler/aggregation"
	"knative.dev/serving/pkg/autoscaler/scaling"
)

type scenario struct {
	Target int   `json:"target"`
	Stable int   `json:"stable"` // seconds, as the others
	Panic  int   `json:"panic"`
	Delay  int   `json:"delay"`
	Ready  []int `json:"ready"`
	Load   []int `json:"load"` // -1: nothing is known of that second
}

// Its windows are those of the real collector.
type world struct {
	stable, panicking *aggregation.TimedFloat64Buckets
	ready             int
}

func (w *world) StableAndPanicConcurrency(_ types.NamespacedName, now time.Time) (float64, float64, error) {
	return w.stable.WindowAverage(now), w.panicking.WindowAverage(now), nil
}

func (w *world) StableAndPanicRPS(key types.NamespacedName, now time.Time) (float64, float64, error) {
	return w.StableAndPanicConcurrency(key, now)
}

func (w *world) ReadyCount() (int, error)    { return w.ready, nil }
func (w *world) NotReadyCount() (int, error) { return 0, nil }

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func run(s scenario) (wanted []int32) {
	w := &world{
		stable:    aggregation.NewTimedFloat64Buckets(seconds(s.Stable), time.Second),
		panicking: aggregation.NewTimedFloat64Buckets(seconds(s.Panic), time.Second),
		ready:     s.Ready[0],
	}
	now := time.Now() // a new autoscaler asks for it
	a := scaling.New(context.Background(), "default", "x", w, w, &scaling.DeciderSpec{
		MaxScaleUpRate: 1000, MaxScaleDownRate: 2, PanicThreshold: 2, ScalingMetric: "concurrency", Reachable: true,
		TargetValue: float64(s.Target), TotalValue: float64(s.Target),
		StableWindow: seconds(s.Stable), ScaleDownDelay: seconds(s.Delay),
	})
	for i, load := range s.Load {
		now = now.Add(time.Second)
		w.ready = s.Ready[i]
		if load >= 0 {
			w.stable.Record(now, float64(load))
			w.panicking.Record(now, float64(load))
		}
		if i%2 == 1 {
			wanted = append(wanted, a.Scale(zap.NewNop().Sugar(), now).DesiredPodCount)
		}
	}
	return wanted
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for in.Scan() {
		var s scenario
		if err := json.Unmarshal(in.Bytes(), &s); err != nil {
			panic(err)
		}
		fmt.Fprintln(out, "=", strings.Trim(fmt.Sprint(run(s)), "[]"))
	}
	if err := in.Err(); err != nil {
		panic(err)
	}
}
