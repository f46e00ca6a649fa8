// What the real HorizontalController of Kubernetes makes of a sequence of readings, for autoscaler_test.py.
//
// A test binary for testing/synctest alone: the controller asks time.Now(), and in a bubble an hour of
// virtual time takes none. stdin: scenarios as JSON, one a line. stdout: of each, a line that begins
// with "= " and has the replicas after each of its steps, 15 s apart. Nothing of the controller is
// replaced but what it talks to: the API server, the lists of pods and autoscalers, the metrics.
package hpa

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	autoscalingclient "k8s.io/client-go/kubernetes/typed/autoscaling/v2"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	autoscalinglisters "k8s.io/client-go/listers/autoscaling/v2"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/scale"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	defaults "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
)

const (
	sync         = 15 * time.Second
	tolerance    = 0.1
	downscale    = 5 * time.Minute
	cpuStart     = 5 * time.Minute
	readyDelay   = 30 * time.Second
	namespace    = "default"
	metricWindow = 15 * time.Second
)

type pod struct {
	State  string           `json:"state"`
	Values map[string]int64 `json:"values"` // thousandths, by metric; what is not there is missing
}
type step struct {
	Pods     []pod            `json:"pods"`
	External map[string]int64 `json:"external"`
	// From this step on; nil: as it was.
	Behavior *autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior"`
}
type scenario struct {
	Spec     autoscalingv2.HorizontalPodAutoscalerSpec `json:"spec"`
	Replicas int32                                     `json:"replicas"`
	Requests map[v1.ResourceName]int64                 `json:"requests"` // thousandths
	Steps    []step                                    `json:"steps"`
}

// ---- what the controller talks to

type world struct {
	replicas int32
	step     step
	pods     cache.Indexer
	hpas     cache.Indexer
	handler  cache.ResourceEventHandler
}

var selector = labels.Set{"app": "x"}

func (w *world) GetResourceMetric(_ context.Context, r v1.ResourceName, _ string, _ labels.Selector, _ string) (metrics.PodMetricsInfo, time.Time, error) {
	return w.readings(string(r))
}

func (w *world) GetRawMetric(name, _ string, _, _ labels.Selector) (metrics.PodMetricsInfo, time.Time, error) {
	return w.readings(name)
}

// As the API's client: no reading at all is an error.
func (w *world) readings(name string) (metrics.PodMetricsInfo, time.Time, error) {
	found := metrics.PodMetricsInfo{}
	for i, p := range w.step.Pods {
		if v, ok := p.Values[name]; ok {
			found[podName(i)] = metrics.PodMetric{Timestamp: time.Now(), Window: metricWindow, Value: v}
		}
	}
	if len(found) == 0 {
		return nil, time.Time{}, errors.New("no metrics")
	}
	return found, time.Now(), nil
}

func (w *world) GetObjectMetric(string, string, *autoscalingv2.CrossVersionObjectReference, labels.Selector) (int64, time.Time, error) {
	return 0, time.Time{}, errors.New("no objects")
}

func (w *world) GetExternalMetric(name, _ string, _ labels.Selector) ([]int64, time.Time, error) {
	v, ok := w.step.External[name]
	if !ok {
		return nil, time.Time{}, errors.New("no metrics")
	}
	return []int64{v}, time.Now(), nil
}

type scales struct {
	scale.ScaleInterface
	w *world
}

func (w *world) Scales(string) scale.ScaleInterface { return scales{w: w} }

func (s scales) Get(context.Context, schema.GroupResource, string, metav1.GetOptions) (*autoscalingv1.Scale, error) {
	return &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: namespace},
		Spec:       autoscalingv1.ScaleSpec{Replicas: s.w.replicas},
		Status:     autoscalingv1.ScaleStatus{Replicas: s.w.replicas, Selector: selector.String()},
	}, nil
}

func (s scales) Update(_ context.Context, _ schema.GroupResource, to *autoscalingv1.Scale, _ metav1.UpdateOptions) (*autoscalingv1.Scale, error) {
	s.w.replicas = to.Spec.Replicas
	return to, nil
}

type statuses struct {
	autoscalingclient.HorizontalPodAutoscalerInterface
	w *world
}

func (w *world) HorizontalPodAutoscalers(string) autoscalingclient.HorizontalPodAutoscalerInterface {
	return statuses{w: w}
}

func (s statuses) UpdateStatus(_ context.Context, h *autoscalingv2.HorizontalPodAutoscaler, _ metav1.UpdateOptions) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	old, _, _ := s.w.hpas.Get(h)
	next := old.(*autoscalingv2.HorizontalPodAutoscaler).DeepCopy()
	next.Status = h.Status
	return next, s.w.hpas.Update(next)
}

type mapper struct{ meta.RESTMapper }

func (mapper) RESTMappings(k schema.GroupKind, _ ...string) ([]*meta.RESTMapping, error) {
	return []*meta.RESTMapping{{Resource: schema.GroupVersionResource{Group: k.Group, Version: "v1", Resource: "deployments"}}}, nil
}

type events struct{ coreclient.EventInterface }

func (events) Events(string) coreclient.EventInterface { return events{} }

func (events) CreateWithEventNamespace(e *v1.Event) (*v1.Event, error) { return e, nil }

func (events) CreateWithEventNamespaceWithContext(_ context.Context, e *v1.Event) (*v1.Event, error) {
	return e, nil
}

func (events) PatchWithEventNamespace(e *v1.Event, _ []byte) (*v1.Event, error) { return e, nil }

func (events) PatchWithEventNamespaceWithContext(_ context.Context, e *v1.Event, _ []byte) (*v1.Event, error) {
	return e, nil
}

type informer struct {
	cache.SharedIndexInformer
	w *world
}

func (i informer) HasSynced() bool { return true }

func (i informer) AddEventHandlerWithResyncPeriod(h cache.ResourceEventHandler, _ time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	i.w.handler = h
	return nil, nil
}

type podInformer struct{ w *world }

func (i podInformer) Informer() cache.SharedIndexInformer { return informer{w: i.w} }
func (i podInformer) Lister() corelisters.PodLister       { return corelisters.NewPodLister(i.w.pods) }

type hpaInformer struct{ w *world }

func (i hpaInformer) Informer() cache.SharedIndexInformer { return informer{w: i.w} }
func (i hpaInformer) Lister() autoscalinglisters.HorizontalPodAutoscalerLister {
	return autoscalinglisters.NewHorizontalPodAutoscalerLister(i.w.hpas)
}

// ---- pods

func podName(i int) string { return fmt.Sprintf("x-%d", i) }

func makePod(i int, p pod, requests map[v1.ResourceName]int64, now time.Time) *v1.Pod {
	began, since, ready, phase := now.Add(-time.Hour), now.Add(-time.Hour+10*time.Second), v1.ConditionTrue, v1.PodRunning
	var deleted *metav1.Time
	switch p.State {
	case "ready": // for longer than the metric's window
	case "fresh": // for less
		began, since = now.Add(-20*time.Second), now.Add(-5*time.Second)
	case "unready": // and never was
		began, ready = now.Add(-20*time.Second), v1.ConditionFalse
		since = began
	case "pending":
		phase, ready = v1.PodPending, v1.ConditionFalse
	case "failed":
		phase, ready = v1.PodFailed, v1.ConditionFalse
	case "deleted":
		ready, deleted = v1.ConditionFalse, &metav1.Time{Time: now}
	default:
		panic(p.State)
	}
	list := v1.ResourceList{}
	for name, n := range requests {
		list[name] = *resource.NewMilliQuantity(n, resource.DecimalSI)
	}
	start := metav1.NewTime(began)
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: podName(i), Namespace: namespace, Labels: selector, DeletionTimestamp: deleted},
		Spec:       v1.PodSpec{Containers: []v1.Container{{Name: "x", Resources: v1.ResourceRequirements{Requests: list}}}},
		Status: v1.PodStatus{Phase: phase, StartTime: &start, Conditions: []v1.PodCondition{
			{Type: v1.PodReady, Status: ready, LastTransitionTime: metav1.NewTime(since)}}},
	}
}

// ---- a run

func (w *world) behave(b *autoscalingv2.HorizontalPodAutoscalerBehavior) {
	h := w.hpas.List()[0].(*autoscalingv2.HorizontalPodAutoscaler).DeepCopy()
	h.Spec.Behavior = b
	defaults.SetDefaults_HorizontalPodAutoscaler(h)
	if err := w.hpas.Update(h); err != nil {
		panic(err)
	}
}

func run(s scenario) (after []int32) {
	ctx, cancel := context.WithCancel(context.Background())
	byNamespace := cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	w := &world{
		replicas: s.Replicas,
		pods:     cache.NewIndexer(cache.MetaNamespaceKeyFunc, byNamespace),
		hpas:     cache.NewIndexer(cache.MetaNamespaceKeyFunc, byNamespace),
	}
	h := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: namespace, UID: types.UID("x")},
		Spec:       s.Spec,
	}
	h.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", Name: "x", APIVersion: "apps/v1"}
	defaults.SetDefaults_HorizontalPodAutoscaler(h)
	c := podautoscaler.NewHorizontalController(ctx, events{}, w, w, mapper{}, w, hpaInformer{w}, podInformer{w},
		sync, downscale, tolerance, cpuStart, readyDelay)
	if err := w.hpas.Add(h); err != nil {
		panic(err)
	}
	w.handler.OnAdd(h, true)
	go c.Run(ctx, 1)
	time.Sleep(sync / 2) // it looks every 15 s: each step is set half way
	for _, w.step = range s.Steps {
		if w.step.Behavior != nil {
			w.behave(w.step.Behavior)
		}
		pods := make([]any, len(w.step.Pods))
		for i, p := range w.step.Pods {
			pods[i] = makePod(i, p, s.Requests, time.Now().Add(sync/2))
		}
		if err := w.pods.Replace(pods, ""); err != nil {
			panic(err)
		}
		time.Sleep(sync)
		synctest.Wait()
		after = append(after, w.replicas)
	}
	cancel()
	synctest.Wait()
	return after
}

func TestScenarios(t *testing.T) {
	klog.SetLogger(logr.Discard())
	// It would sleep, by the clock of the bubble before, and a metric that is missing is none.
	utilruntime.ErrorHandlers = nil
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for in.Scan() {
		var s scenario
		if err := json.Unmarshal(in.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		var after []int32
		synctest.Test(t, func(*testing.T) { after = run(s) })
		fmt.Fprintln(out, "=", strings.Trim(fmt.Sprint(after), "[]"))
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
}
