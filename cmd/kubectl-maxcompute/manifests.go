package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// manifest is an object of one of the operator's kinds, and where it was read.
type manifest struct {
	client.Object
	kind, source string
	// document is what was read, nil of an object of the cluster.
	document []byte
}

// String names the object as messages do.
func (m manifest) String() string {
	if m.GetNamespace() == "" {
		return m.kind + " " + m.GetName()
	}
	return m.kind + " " + m.GetNamespace() + "/" + m.GetName()
}

// readManifests reads files, directories with all below them, and "-", which is in. Documents of other kinds are counted and left out.
// Objects without a namespace get that of the command line.
func readManifests(paths []string, in io.Reader, s *runtime.Scheme, namespace string) (found []manifest, others int, err error) {
	for _, path := range paths {
		files, err := filesOf(path)
		if err != nil {
			return nil, 0, err
		}
		for _, file := range files {
			content, err := readFile(file, in)
			if err != nil {
				return nil, 0, err
			}
			objects, more, err := parse(content, file, s, namespace)
			if err != nil {
				return nil, 0, fmt.Errorf("%s: %w", file, err)
			}
			found, others = append(found, objects...), others+more
		}
	}
	return found, others, nil
}

// filesOf are the manifests below a path, sorted.
func filesOf(path string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, err
	}
	var files []string
	err = filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(file)) {
			files = append(files, file)
		}
		return err
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no .yaml, .yml or .json file is below %s", path)
	}
	return files, err
}

func readFile(file string, in io.Reader) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(in)
	}
	return os.ReadFile(file) //nolint:gosec // the user names it
}

// parse reads the documents of a file. A field that the kind does not have is an error: it would be ignored, and something not be said.
func parse(content []byte, source string, s *runtime.Scheme, namespace string) (found []manifest, others int, err error) {
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	for number := 1; ; number++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return found, others, nil
		}
		if err != nil {
			return nil, 0, err
		}
		var header metav1.TypeMeta
		switch err := sigsyaml.Unmarshal(document, &header); {
		case err != nil:
			return nil, 0, fmt.Errorf("document %d is no manifest: %w", number, misread(err))
		case header.Kind == "List", strings.HasSuffix(header.Kind, "List") && header.GroupVersionKind().Group == v1alpha1.GroupVersion.Group:
			return nil, 0, fmt.Errorf("document %d is a %s: write its items as documents of their own", number, header.Kind)
		case header.GroupVersionKind().Group != v1alpha1.GroupVersion.Group:
			if len(bytes.TrimSpace(document)) > 0 && header.Kind != "" {
				others++
			}
			continue
		}
		m, err := decode(document, header, s)
		if err != nil {
			return nil, 0, fmt.Errorf("document %d: %w", number, err)
		}
		m.source = source
		if m.kind == "ClusterConnection" {
			m.SetNamespace("")
		} else if m.GetNamespace() == "" {
			m.SetNamespace(namespace)
		}
		found = append(found, m)
	}
}

func decode(document []byte, header metav1.TypeMeta, s *runtime.Scheme) (manifest, error) {
	if header.APIVersion != v1alpha1.GroupVersion.String() {
		return manifest{}, fmt.Errorf("the %s is of %s, and this program knows %s only", header.Kind, header.APIVersion, v1alpha1.GroupVersion)
	}
	made, err := s.New(header.GroupVersionKind())
	if err != nil {
		return manifest{}, fmt.Errorf("%s has no kind %s", header.APIVersion, header.Kind)
	}
	obj, ok := made.(client.Object)
	if !ok {
		return manifest{}, fmt.Errorf("a %s is no object", header.Kind)
	}
	reader := json.NewSerializerWithOptions(json.DefaultMetaFactory, s, s, json.SerializerOptions{Yaml: true, Strict: true})
	if _, _, err := reader.Decode(document, nil, obj); err != nil {
		return manifest{}, fmt.Errorf("the %s cannot be read: %w", header.Kind, misread(err))
	}
	if obj.GetName() == "" {
		return manifest{}, fmt.Errorf("the %s has no metadata.name", header.Kind)
	}
	return manifest{Object: obj, kind: header.Kind, document: document}, nil
}
