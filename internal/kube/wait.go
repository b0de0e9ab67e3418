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
)

// ErrStagnant is returned by WaitGone when nothing moved for as long as it was
// told to be patient.
var ErrStagnant = errors.New("no progress")

// errNoAnswer is why something is not seen of which there is no error either.
var errNoAnswer = errors.New("no answer yet")

// Selection is what WaitGone awaits: the objects of a resource in a namespace
// ("" is all of them), narrowed by an optional field selector and Match.
type Selection struct {
	Resource  schema.GroupVersionResource
	Namespace string
	Fields    string
	Match     func(*metav1.PartialObjectMetadata) bool
}

// WaitGone counts and reports at most so often: every millisecond for each object
// that is left, which takes far less than one to count, and no less often than every
// progressInterval. Somebody waits for the end of the last few.
const progressInterval = 200 * time.Millisecond

func pause(left int) time.Duration {
	return min(progressInterval, time.Duration(max(left, 1))*time.Millisecond)
}

// WaitGone watches until no selected object is left. Whatever brings an object
// nearer to its end (a deletion begun, a finalizer removed, the object gone)
// renews the patience; when it runs out, ErrStagnant is returned. report is
// called with the number of objects left, and a few of them, whenever that
// number has changed.
func (c *Client) WaitGone(ctx context.Context, selections []Selection, patience time.Duration, report func(left int, examples []string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	changed := make(chan struct{}, 1)
	poke := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	var watches []*watch
	for _, s := range selections {
		w, err := c.watch(ctx, s, poke)
		if err != nil {
			return fmt.Errorf("watching %s: %w", where(s.Resource, s.Namespace), err)
		}
		watches = append(watches, w)
	}

	stagnant := time.NewTimer(patience)
	defer stagnant.Stop()
	probe := time.NewTicker(max(patience/4, progressInterval))
	defer probe.Stop()
	distance, left := -1, -1
	for {
		d, l, synced := 0, 0, true
		var (
			names  []string
			unread error
		)
		for _, w := range watches {
			wd, wl, ok := w.count(&names)
			d, l, synced = d+wd, l+wl, synced && ok
			if ok {
				continue
			}
			why := errNoAnswer
			if err := w.failed.Load(); err != nil {
				why = *err
			}
			unread = fmt.Errorf("watching %s: %w", where(w.resource, w.namespace), why)
			if apierrors.IsForbidden(why) {
				return unread
			}
		}
		if synced {
			if l != left {
				report(l, names)
			}
			if l == 0 {
				return nil
			}
			if distance < 0 || d < distance {
				stagnant.Reset(patience)
			}
			distance, left = d, l
		}
		ended := func() error {
			// What was not seen by then is why it was waited for.
			if unread != nil {
				return fmt.Errorf("%w: %w", context.Cause(ctx), unread)
			}
			return context.Cause(ctx)
		}
		select {
		case <-ctx.Done():
			return ended()
		case <-stagnant.C:
			// What was never seen cannot be said to stand still.
			if unread != nil {
				return unread
			}
			return fmt.Errorf("%w for %s: %d objects left", ErrStagnant, patience, left)
		case <-probe.C:
			// While the API server is away nobody can make progress, and a watch does
			// not tell: it waits and goes on.
			if len(selections) > 0 && Transient(c.probe(ctx, selections[0])) {
				stagnant.Reset(patience)
			}
			continue
		case <-changed:
		}
		select {
		case <-ctx.Done():
			return ended()
		case <-time.After(pause(left)):
		}
	}
}

// probeTime is how long the API server may take for the smallest list.
const probeTime = 5 * time.Second

// probe asks for as little as can be asked for.
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
	match     func(*metav1.PartialObjectMetadata) bool
	// absent is set while the API server does not know the resource, as after
	// the deletion of its CRD.
	absent atomic.Bool
	// failed is the last error of listing or watching.
	failed atomic.Pointer[error]
}

func (c *Client) watch(ctx context.Context, s Selection, poke func()) (*watch, error) {
	w := &watch{resource: s.Resource, namespace: s.Namespace, match: s.Match}
	// Not client-go's metadatainformer: its package links every typed client there
	// is, which is more than half of the binary.
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
	// Labels, annotations and managed fields are most of an object's metadata;
	// with 20,000 of them in memory it matters.
	err := w.informer.SetTransform(func(o any) (any, error) {
		m, ok := o.(*metav1.PartialObjectMetadata)
		if !ok {
			return o, nil
		}
		m.ManagedFields, m.Annotations = nil, nil
		return m, nil
	})
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

// examples is how many objects are named in a report of progress.
const examples = 3

// count returns how far the objects are from gone (in steps), how many there
// are, and whether that is known yet. It adds a few to names.
func (w *watch) count(names *[]string) (distance, left int, known bool) {
	if w.absent.Load() {
		return 0, 0, true
	}
	if !w.informer.HasSynced() {
		return 0, 0, false
	}
	for _, o := range w.informer.GetStore().List() {
		m, ok := o.(*metav1.PartialObjectMetadata)
		if !ok || (w.match != nil && !w.match(m)) {
			continue
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
