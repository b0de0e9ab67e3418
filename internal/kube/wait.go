package kube

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/arc-cleanup/arc-cleanup/internal/english"
)

// ErrStagnant is returned by WaitGone if nothing has moved for as long as the patience.
var ErrStagnant = errors.New("no progress")

// errNoAnswer is why objects are unknown if there is no error either.
var errNoAnswer = errors.New("no answer yet")

// Selection is what WaitGone waits for: the objects of a resource in a namespace ("" means all
// namespaces), narrowed by an optional field selector and by Match.
type Selection struct {
	Resource  schema.GroupVersionResource
	Namespace string
	Fields    string
	Match     func(*metav1.PartialObjectMetadata) bool
}

// keep returns what a wait needs of an object. Annotations and managed fields are most of its metadata, which matters with 20,000
// objects in memory. What is not waited for may be a tenant's, with 1 MiB of labels each: of that, keep returns what a cache needs,
// in another type, so that it is never asked about again.
func (s Selection) keep(o any) (any, error) {
	m, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return o, nil
	}
	m.ManagedFields, m.Annotations = nil, nil
	if s.Match != nil && !s.Match(m) {
		return &metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion}, nil
	}
	return m, nil
}

// progressInterval bounds the time between two counts of WaitGone. With fewer objects left it counts more
// often: after a millisecond for each object, which is far longer than counting takes.
const progressInterval = 200 * time.Millisecond

func pause(left int) time.Duration {
	return min(progressInterval, time.Duration(max(left, 1))*time.Millisecond)
}

// WaitGone watches until no selected object is left. Whatever brings an object nearer to its end (its
// deletion begins, a finalizer is removed, the object is gone) renews the patience. If the patience runs
// out, it returns ErrStagnant. It reports how many objects are left, with a few examples, whenever that
// number has changed.
func (c *Client) WaitGone(
	ctx context.Context, selections []Selection, patience time.Duration, report func(left int, examples []string),
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watches, changed, err := c.watchAll(ctx, selections)
	if err != nil {
		return err
	}
	w := &waiting{patience: patience, stagnant: time.NewTimer(patience), report: report, distance: -1, left: -1}
	defer w.stagnant.Stop()
	probe := time.NewTicker(max(patience/4, progressInterval))
	defer probe.Stop()
	for {
		now := count(watches)
		if apierrors.IsForbidden(now.unread) {
			return now.unread
		}
		if w.gone(now) {
			return nil
		}
		select {
		case <-ctx.Done():
			return now.ended(ctx)
		case <-w.stagnant.C:
			// An object that was never seen cannot be said to stand still.
			if now.unread != nil {
				return now.unread
			}
			return fmt.Errorf("%w for %s: %s left", ErrStagnant, patience, english.Count(w.left, "object"))
		case <-probe.C:
			// Nothing can make progress while the API server is away, and a watch does not tell: it waits
			// and goes on.
			if len(selections) > 0 && Transient(c.probe(ctx, selections[0])) {
				w.stagnant.Reset(patience)
			}
			continue
		case <-changed:
		}
		select {
		case <-ctx.Done():
			return now.ended(ctx)
		case <-time.After(pause(w.left)):
		}
	}
}

// waiting is how far a wait is.
type waiting struct {
	patience time.Duration
	stagnant *time.Timer
	report   func(left int, examples []string)
	// distance and left are those of the last counts; -1 before the first.
	distance, left int
}

// gone takes new counts: it reports them, renews the patience if there is progress, and says whether all
// objects are gone.
func (w *waiting) gone(now counts) bool {
	if now.unread != nil {
		return false
	}
	if now.left != w.left {
		w.report(now.left, now.examples)
	}
	if w.distance < 0 || now.distance < w.distance {
		w.stagnant.Reset(w.patience)
	}
	w.distance, w.left = now.distance, now.left
	return now.left == 0
}

// counts are those of all watches together.
type counts struct {
	// distance is how many steps the objects are from their end.
	distance, left int
	examples       []string
	// unread says why the objects of a watch are unknown; nil if all are known.
	unread error
}

// ended is the error of a wait that was ended. Objects that are still unknown are why it waited.
func (n counts) ended(ctx context.Context) error {
	if n.unread != nil {
		return fmt.Errorf("%w: %w", context.Cause(ctx), n.unread)
	}
	return context.Cause(ctx)
}

func count(watches []*watch) (n counts) {
	for _, w := range watches {
		distance, left, known := w.count(&n.examples)
		n.distance, n.left = n.distance+distance, n.left+left
		if known {
			continue
		}
		why := errNoAnswer
		if err := w.failed.Load(); err != nil {
			why = *err
		}
		n.unread = fmt.Errorf("watching %s: %w", where(w.resource, w.namespace), why)
		if apierrors.IsForbidden(why) {
			break
		}
	}
	return n
}

// watchAll watches all selections. It sends to changed after something has changed.
func (c *Client) watchAll(ctx context.Context, selections []Selection) (watches []*watch, changed chan struct{}, err error) {
	changed = make(chan struct{}, 1)
	poke := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	for _, s := range selections {
		w, err := c.watch(ctx, s, poke)
		if err != nil {
			return nil, nil, fmt.Errorf("watching %s: %w", where(s.Resource, s.Namespace), err)
		}
		watches = append(watches, w)
	}
	return watches, changed, nil
}

// probeTime bounds the smallest list.
const probeTime = 5 * time.Second

// probe makes the smallest request that there is.
func (c *Client) probe(ctx context.Context, s Selection) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	_, err := c.Metadata.Resource(s.Resource).Namespace(s.Namespace).List(ctx, metav1.ListOptions{Limit: 1, FieldSelector: s.Fields})
	return err
}

// watch is one running informer.
type watch struct {
	resource  schema.GroupVersionResource
	namespace string
	informer  cache.SharedIndexInformer
	// absent is set while the API server does not serve the resource, as after the deletion of its CRD.
	absent atomic.Bool
	// failed is the last error of listing or watching.
	failed atomic.Pointer[error]
}

func (c *Client) watch(ctx context.Context, s Selection, poke func()) (*watch, error) {
	w := &watch{resource: s.Resource, namespace: s.Namespace}
	// Not client-go's metadatainformer: its package links every typed client, which would be more than half
	// of the binary.
	objects := c.Metadata.Resource(s.Resource).Namespace(s.Namespace)
	w.informer = cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = s.Fields
			return objects.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			o.FieldSelector = s.Fields
			return objects.Watch(ctx, o)
		},
	}, c.Metadata), &metav1.PartialObjectMetadata{}, 0, cache.Indexers{})
	err := w.informer.SetTransform(s.keep)
	if err != nil {
		return nil, err
	}
	err = w.informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		w.absent.Store(apierrors.IsNotFound(err))
		w.failed.Store(&err)
		poke()
	})
	if err != nil {
		return nil, err
	}
	_, err = w.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { poke() },
		UpdateFunc: func(any, any) { poke() },
		DeleteFunc: func(any) { poke() },
	})
	if err != nil {
		return nil, err
	}
	go w.informer.RunWithContext(ctx)
	go func() {
		cache.WaitForCacheSync(ctx.Done(), w.informer.HasSynced)
		poke()
	}()
	return w, nil
}

// examples is how many objects a report names.
const examples = 3

// count returns how many steps the objects are from their end, how many there are, and whether that is
// known yet. It adds a few to names.
func (w *watch) count(names *[]string) (distance, left int, known bool) {
	if w.absent.Load() {
		return 0, 0, true
	}
	if !w.informer.HasSynced() {
		return 0, 0, false
	}
	for _, o := range w.informer.GetStore().List() {
		m, ok := o.(*metav1.PartialObjectMetadata)
		if !ok {
			continue // not waited for, see keep
		}
		left++
		if len(*names) < examples {
			*names = append(*names, w.resource.Resource+"/"+m.Name)
		}
		distance += 1 + len(m.Finalizers)
		if m.DeletionTimestamp == nil {
			distance++
		}
	}
	return distance, left, true
}
