package manifest

import (
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// An Object is one object of Kubernetes, or a List of them. The zero Object has no fields.
//
// It is a kyaml node whose root is a mapping: kyaml's own questions (RNode.GetKind and others) panic if the
// root is anything else. It is not decoded into Go types: a manifest may have what they do not allow, such
// as a key that is given twice, and Helm accepts it.
type Object struct{ node *yaml.RNode }

// newObject returns the object that a node is. A node that is not a mapping is no object.
func newObject(node *yaml.RNode) Object {
	if node = target(node); node == nil || node.YNode().Kind != yaml.MappingNode {
		return Object{}
	}
	return Object{node}
}

// target returns the node that an alias refers to, and any other node as it is. kyaml does not follow an
// alias: for "kind: *k", RNode.GetKind returns "k".
func target(node *yaml.RNode) *yaml.RNode {
	y := node.YNode()
	if y == nil {
		return nil
	}
	if y.Kind == yaml.AliasNode {
		return yaml.NewRNode(y.Alias)
	}
	return node
}

// lookup returns the node under a path of keys, or nil if there is none.
func (o Object) lookup(path ...string) *yaml.RNode {
	node := o.node
	for _, key := range path {
		field := node.Field(key) // nil if the node is nil or not a mapping
		if field == nil {
			return nil
		}
		node = target(field.Value)
	}
	return node
}

// Size returns how many nodes the object has, or limit if there are more. It counts what an alias refers to each
// time: so does Decode, and a few kilobytes of YAML can have billions.
func (o Object) Size(limit int) int {
	if o.node == nil {
		return 0
	}
	return size(o.node.YNode(), limit)
}

func size(node *yaml.Node, limit int) int {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	n := 1
	for _, child := range node.Content {
		if n >= limit {
			return limit
		}
		n += size(child, limit-n)
	}
	return n
}

// Decode decodes what the object has under a path of keys. If there is nothing, it leaves into alone.
func (o Object) Decode(into any, path ...string) error {
	node := o.lookup(path...)
	if node == nil {
		return nil
	}
	return node.YNode().Decode(into)
}

// text returns the text of a scalar, and "" for anything else.
func text(node *yaml.RNode) string {
	y := node.YNode()
	if y == nil || y.Kind != yaml.ScalarNode || y.ShortTag() == yaml.NodeTagNull {
		return ""
	}
	return strings.TrimSpace(y.Value)
}

// Kind, APIVersion, Name and Namespace return "" if the object does not have the field.
func (o Object) Kind() string       { return text(o.lookup("kind")) }
func (o Object) APIVersion() string { return text(o.lookup("apiVersion")) }
func (o Object) Name() string       { return text(o.lookup("metadata", "name")) }
func (o Object) Namespace() string  { return text(o.lookup("metadata", "namespace")) }

// Labels returns the object's labels.
func (o Object) Labels() map[string]string { return o.texts("labels") }

// Annotations returns the object's annotations.
func (o Object) Annotations() map[string]string { return o.texts("annotations") }

func (o Object) texts(field string) map[string]string {
	out := map[string]string{}
	if node := o.lookup("metadata", field); node != nil && node.YNode().Kind == yaml.MappingNode {
		for i := 0; i+1 < len(node.Content()); i += 2 {
			out[node.Content()[i].Value] = text(target(yaml.NewRNode(node.Content()[i+1])))
		}
	}
	return out
}

// Items returns the objects of a List, and any other object itself.
func (o Object) Items() []Object {
	items := o.lookup("items")
	if !strings.HasSuffix(o.Kind(), "List") || items == nil || items.YNode().Kind != yaml.SequenceNode {
		return []Object{o}
	}
	var out []Object
	for _, item := range items.Content() {
		out = append(out, newObject(yaml.NewRNode(item)))
	}
	return out
}

// keepLast removes from all mappings in a node every key that the mapping has again further down. Of a key
// that is given twice, Helm and Kubernetes take the last; kyaml takes the first, and a decoder refuses it.
func keepLast(node *yaml.Node) {
	for _, child := range node.Content { // An alias has none, so that this ends.
		keepLast(child)
	}
	if node.Kind != yaml.MappingNode {
		return
	}
	seen := map[string]bool{}
	var kept []*yaml.Node
	for i := len(node.Content) - 2; i >= 0; i -= 2 {
		key := node.Content[i]
		named := key.Kind == yaml.ScalarNode && key.ShortTag() != yaml.MergeTag
		if named && seen[key.Value] {
			continue
		}
		seen[key.Value] = seen[key.Value] || named
		kept = append(kept, node.Content[i+1], key)
	}
	slices.Reverse(kept)
	node.Content = kept
}
