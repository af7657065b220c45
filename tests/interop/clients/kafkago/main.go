// segmentio/kafka-go: kafkago BOOTSTRAP.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
)

var (
	boot   = os.Args[1]
	topic  = fmt.Sprintf("kafkago-%08x", time.Now().UnixNano()&0xffffffff)
	group  = "g-" + topic
	made   [4][]kafka.Message
	failed = false
	ctx    = context.Background()
	cl     = &kafka.Client{Addr: kafka.TCP(boot), Timeout: 30 * time.Second}
)

func step(name string, f func() error) {
	c, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	ctx = c
	if err := f(); err != nil {
		failed = true
		fmt.Printf("not ok %s: %v\n", name, err)
		return
	}
	fmt.Println("ok", name)
}

func same(what string, got, want any) error {
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("%s: got %v, wanted %v", what, got, want)
	}
	return nil
}

func until(what string, check func() (bool, error)) error {
	for {
		if ok, err := check(); err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not in time: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// byNumber sends a message to the partition it names.
type byNumber struct{}

func (byNumber) Balance(m kafka.Message, _ ...int) int { return m.WriterData.(int) }

func produce(messages []kafka.Message, codec kafka.Compression) error {
	w := &kafka.Writer{Addr: kafka.TCP(boot), Topic: topic, Balancer: byNumber{}, RequiredAcks: kafka.RequireAll,
		Compression: codec, BatchTimeout: 5 * time.Millisecond}
	if err := w.WriteMessages(ctx, messages...); err != nil {
		return errors.Join(err, w.Close())
	}
	for _, m := range messages {
		made[m.WriterData.(int)] = append(made[m.WriterData.(int)], m)
	}
	return w.Close()
}

func batch(kind string, n int) (v []kafka.Message) {
	for i := range n {
		v = append(v, kafka.Message{WriterData: i % 4, Key: fmt.Append(nil, kind, i), Value: []byte(strings.Repeat(kind, 10))})
	}
	return v
}

func total() (n int) {
	for _, v := range made {
		n += len(v)
	}
	return n
}

func consume() error {
	for p := range 4 {
		r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{boot}, Topic: topic, Partition: p, MaxWait: 100 * time.Millisecond})
		for i, w := range made[p] {
			m, err := r.ReadMessage(ctx)
			if err != nil {
				return err
			}
			if m.Offset != int64(i) || string(m.Key) != string(w.Key) || string(m.Value) != string(w.Value) ||
				(m.Key == nil) != (w.Key == nil) || !reflect.DeepEqual(m.Headers, w.Headers) && len(w.Headers) > 0 {
				return fmt.Errorf("partition %d, record %d: got %+v, wanted %+v", p, i, m, w)
			}
		}
		if err := r.Close(); err != nil {
			return err
		}
	}
	return nil
}

type member struct {
	sync.Mutex
	seen map[[2]int64]bool
	r    *kafka.Reader
	done chan error
}

func join() *member {
	m := &member{seen: map[[2]int64]bool{}, done: make(chan error, 1)}
	m.r = kafka.NewReader(kafka.ReaderConfig{Brokers: []string{boot}, GroupID: group, Topic: topic, StartOffset: kafka.FirstOffset,
		MaxWait: 100 * time.Millisecond, HeartbeatInterval: 300 * time.Millisecond, SessionTimeout: 6 * time.Second,
		RebalanceTimeout: 10 * time.Second, JoinGroupBackoff: 200 * time.Millisecond})
	go func() {
		for {
			x, err := m.r.FetchMessage(ctx)
			if err != nil {
				m.done <- nil
				return
			}
			m.Lock()
			m.seen[[2]int64{int64(x.Partition), x.Offset}] = true
			m.Unlock()
			_ = m.r.CommitMessages(ctx, x) // fails in a rebalance: somebody reads it again then
		}
	}()
	return m
}

func shares(want ...int) func() (bool, error) {
	return func() (bool, error) {
		d, err := cl.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
		if err != nil {
			return false, err
		}
		if d.Groups[0].GroupState != "Stable" || len(d.Groups[0].Members) != len(want) {
			return false, nil
		}
		for i, m := range d.Groups[0].Members {
			if len(m.MemberAssignments.Topics) != 1 || len(m.MemberAssignments.Topics[0].Partitions) != want[i] {
				return false, nil
			}
		}
		return true, nil
	}
}

func committed() (map[int]int64, error) {
	r, err := cl.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {0, 1, 2, 3}}})
	if err == nil {
		err = r.Error
	}
	if err != nil {
		return nil, err
	}
	o := map[int]int64{}
	for _, p := range r.Topics[topic] {
		o[p.Partition] = p.CommittedOffset
	}
	return o, nil
}

func twoMembers() error {
	a := join()
	if err := until("all for one", shares(4)); err != nil {
		return err
	}
	b := join()
	if err := until("two each", shares(2, 2)); err != nil {
		return err
	}
	if err := until("every record", func() (bool, error) {
		all := map[[2]int64]bool{}
		for _, m := range []*member{a, b} {
			m.Lock()
			for k := range m.seen {
				all[k] = true
			}
			m.Unlock()
		}
		return len(all) == total(), nil
	}); err != nil {
		return err
	}
	if err := b.r.Close(); err != nil {
		return err
	}
	if err := until("the rest goes to the one that is left", shares(4)); err != nil {
		return err
	}
	if err := until("the commits", func() (bool, error) {
		o, err := committed()
		if err != nil {
			return false, err
		}
		for p := range 4 {
			if o[p] != int64(len(made[p])) {
				return false, nil
			}
		}
		return true, nil
	}); err != nil {
		return err
	}
	return errors.Join(a.r.Close(), <-a.done, <-b.done)
}

func offsets() error {
	r, err := cl.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {
		kafka.FirstOffsetOf(0), kafka.LastOffsetOf(1), kafka.TimeOffsetOf(2, time.UnixMilli(1000))}}})
	if err != nil {
		return err
	}
	for _, p := range r.Topics[topic] {
		switch p.Partition {
		case 0:
			err = same("first", p.FirstOffset, int64(0))
		case 1:
			err = same("last", p.LastOffset, int64(len(made[1])))
		case 2:
			_, there := p.Offsets[0]
			err = same("by time", there, true)
		}
		if err == nil {
			err = p.Error
		}
		if err != nil {
			return err
		}
	}
	c, err := cl.OffsetCommit(ctx, &kafka.OffsetCommitRequest{GroupID: group, GenerationID: -1,
		Topics: map[string][]kafka.OffsetCommit{topic: {{Partition: 0, Offset: 3, Metadata: "note"}}}})
	if err == nil {
		err = c.Topics[topic][0].Error
	}
	if err != nil {
		return err
	}
	o, err := committed()
	if err != nil {
		return err
	}
	if err := same("committed", o[0], int64(3)); err != nil {
		return err
	}
	d, err := cl.OffsetDelete(ctx, &kafka.OffsetDeleteRequest{GroupID: group, Topics: map[string][]int{topic: {0}}})
	if err == nil {
		err = d.Error
	}
	if err != nil {
		return err
	}
	if o, err = committed(); err != nil {
		return err
	}
	return same("deleted", o[0], int64(-1))
}

func configs() error {
	value := func() (string, error) {
		r, err := cl.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{IncludeSynonyms: true, Resources: []kafka.DescribeConfigRequestResource{
			{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{"retention.ms"}}}})
		if err == nil {
			err = r.Resources[0].Error
		}
		if err != nil {
			return "", err
		}
		return r.Resources[0].ConfigEntries[0].ConfigValue, nil
	}
	v, err := value()
	if err != nil || v != "3600000" {
		return fmt.Errorf("%s: %v", v, err)
	}
	r, err := cl.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, Configs: []kafka.IncrementalAlterConfigsRequestConfig{
			{Name: "retention.ms", Value: "7200000", ConfigOperation: kafka.ConfigOperationSet}}}}})
	if err == nil {
		err = r.Resources[0].Error
	}
	if err != nil {
		return err
	}
	return until("the new value", func() (bool, error) { v, err := value(); return v == "7200000", err })
}

func partitions() (int, error) {
	r, err := cl.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return 0, err
	}
	if r.Topics[0].Error != nil {
		return 0, nil
	}
	return len(r.Topics[0].Partitions), nil
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "github.com/segmentio/kafka-go" {
				return d.Version
			}
		}
	}
	return "?"
}

func main() {
	fmt.Println("version", version())
	step("create", func() error {
		req := &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 2, ReplicationFactor: 1,
			ConfigEntries: []kafka.ConfigEntry{{ConfigName: "retention.ms", ConfigValue: "3600000"}}}}}
		r, err := cl.CreateTopics(ctx, req)
		if err == nil {
			err = r.Errors[topic]
		}
		if err != nil {
			return err
		}
		if r, err = cl.CreateTopics(ctx, req); err != nil {
			return err
		}
		return same("a second time", errors.Is(r.Errors[topic], kafka.TopicAlreadyExists), true)
	})
	step("describe", func() error {
		n, err := partitions()
		if err != nil {
			return err
		}
		return same("partitions", n, 2)
	})
	step("partitions", func() error {
		r, err := cl.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: 4}}})
		if err == nil {
			err = r.Errors[topic]
		}
		if err != nil {
			return err
		}
		return until("four partitions", func() (bool, error) { n, err := partitions(); return n == 4, err })
	})
	step("configs", configs)
	for _, c := range []kafka.Compression{compress.None, compress.Gzip, compress.Snappy, compress.Lz4, compress.Zstd} {
		name := c.String()
		if c == compress.None {
			name = "none"
		}
		step("produce-"+name, func() error { return produce(batch(name, 400), c) })
	}
	step("nulls-headers", func() error {
		return produce([]kafka.Message{{WriterData: 0}, {WriterData: 1, Value: []byte("v"), Headers: []kafka.Header{{Key: "a", Value: []byte("1")},
			{Key: "a", Value: []byte("2")}}}, {WriterData: 2, Key: []byte("k")}}, compress.None)
	})
	step("consume", consume)
	step("group", twoMembers)
	step("offsets", offsets)
	step("delete-group", func() error {
		r, err := cl.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
		if err != nil {
			return err
		}
		return r.Errors[group]
	})
	step("delete", func() error {
		r, err := cl.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
		if err == nil {
			err = r.Errors[topic]
		}
		if err != nil {
			return err
		}
		return until("the topic is gone", func() (bool, error) { n, err := partitions(); return n == 0, err })
	})
	if failed {
		os.Exit(1)
	}
}
