package manifest

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// An Object is what a document holds: one of Kubernetes, a List of them, or
// anything else that YAML can say. It is read where asked and never decoded as a
// whole: a manifest may have what no type of ours has a place for, such as a key
// that is given twice, and Helm takes it.
type Object struct{ node *yaml.Node }

// Lookup returns what stands under a path of keys, or nil.
func (o Object) Lookup(path ...string) *yaml.Node {
	node := o.node
	for _, key := range path {
		node = under(node, key)
	}
	return node
}

// under returns what a mapping has under a key: under the last, as Helm and
// Kubernetes read it, where it is given twice.
func under(node *yaml.Node, key string) *yaml.Node {
	node = target(node)
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := len(node.Content) - 2; i >= 0; i -= 2 {
		if node.Content[i].Value == key {
			return target(node.Content[i+1])
		}
	}
	return nil
}

// target is what an alias stands for.
func target(node *yaml.Node) *yaml.Node {
	if node != nil && node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

// text is a scalar's, and "" of anything else.
func text(node *yaml.Node) string {
	if node == nil || node.Kind != yaml.ScalarNode || node.ShortTag() == "!!null" {
		return ""
	}
	return strings.TrimSpace(node.Value)
}

// Kind and the others return what Kubernetes knows an object by; "" what it does
// not have.
func (o Object) Kind() string       { return text(o.Lookup("kind")) }
func (o Object) APIVersion() string { return text(o.Lookup("apiVersion")) }
func (o Object) Name() string       { return text(o.Lookup("metadata", "name")) }
func (o Object) Namespace() string  { return text(o.Lookup("metadata", "namespace")) }

// Labels returns the object's labels.
func (o Object) Labels() map[string]string { return o.texts("labels") }

// Annotations returns the object's annotations.
func (o Object) Annotations() map[string]string { return o.texts("annotations") }

func (o Object) texts(field string) map[string]string {
	out := map[string]string{}
	if node := o.Lookup("metadata", field); node != nil && node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(node.Content); i += 2 {
			out[node.Content[i].Value] = text(target(node.Content[i+1]))
		}
	}
	return out
}

// Items returns the object itself, or the objects of a List.
func (o Object) Items() []Object {
	items := o.Lookup("items")
	if !strings.HasSuffix(o.Kind(), "List") || items == nil || items.Kind != yaml.SequenceNode {
		return []Object{o}
	}
	var out []Object
	for _, item := range items.Content {
		out = append(out, Object{target(item)})
	}
	return out
}
