package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/utils/clock"

	"github.com/maxcompute-operator/maxcompute-operator/controllers"
)

// projectOptions are the flags of commands that read a whole project.
type projectOptions struct {
	planOptions
	connection, clusterConnection, project string
}

func (o *projectOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.connection, "connection", "", "Connection of the namespace to read with; if left out, the one that objects of the project use, or the only one.")
	f.StringVar(&o.clusterConnection, "cluster-connection", "", "ClusterConnection to read with, instead.")
	f.StringVar(&o.project, "project", "", "MaxCompute project.")
	o.addConnectionFlags(f)
}

// checkProject refuses flags that name no project.
func (o *projectOptions) checkProject() error {
	switch {
	case o.connection != "" && o.clusterConnection != "":
		return errors.New("name --connection or --cluster-connection: one of the two")
	case o.project == "":
		return errors.New("name the --project")
	case !controllers.CanName(o.project):
		return fmt.Errorf("--project: %q cannot be the name of a project", o.project)
	}
	return nil
}

// estate finds what the flags name.
func (o *projectOptions) estate(ctx context.Context) (e controllers.Estate, v *view, err error) {
	if err := o.checkProject(); err != nil {
		return e, nil, err
	}
	around, namespace, err := o.surroundings()
	if err != nil {
		return e, nil, err
	}
	for _, m := range around.files {
		if err := o.settle(ctx, around.view, m); err != nil {
			return e, nil, fmt.Errorf("%s: %s: %w", m.source, m, err)
		}
	}
	ref, err := o.reference(ctx, around.view, namespace)
	return controllers.Estate{Namespace: namespace, Project: o.project, Connection: ref}, around.view, err
}

// progress tells a person how far it is, and how long the rest takes if it goes on like that.
func (o *projectOptions) progress(what string) func(done, of int) {
	if !onTerminal(o.streams.ErrOut) {
		return func(int, int) {}
	}
	ticker := clock.RealClock{}
	started := ticker.Now()
	return func(done, of int) {
		say(o.streams.ErrOut, "\r%s%s", progressLine(what, done, of, ticker.Since(started)), eraseRest)
		if done == of {
			say(o.streams.ErrOut, "\n")
		}
	}
}

// eraseRest takes what a longer line has left away from a terminal.
const eraseRest = "\x1b[K"

// progressLine is how far it is after a while.
func progressLine(what string, done, of int, elapsed time.Duration) string {
	line := fmt.Sprintf("%s: %d of %d", what, done, of)
	if left := (elapsed / time.Duration(max(1, done)) * time.Duration(of-done)).Round(time.Second); left > 0 {
		line += fmt.Sprintf(", %.0f a minute, about %s left", float64(done)/elapsed.Minutes(), left)
	}
	return line
}
