// franz-go: kgo (the client) and kadm (administration). franz BOOTSTRAP.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var (
	boot   = os.Args[1]
	topic  = fmt.Sprintf("franz-%08x", time.Now().UnixNano()&0xffffffff)
	group  = "g-" + topic
	made   [4][]*kgo.Record
	failed = false
	ctx    = context.Background()
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

func client(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(boot)}, opts...)...)
}

func produce(records []*kgo.Record, opts ...kgo.Opt) error {
	cl, err := client(append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic),
		kgo.ProducerLinger(2*time.Millisecond))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return err
	}
	for _, r := range records {
		if want := int64(len(made[r.Partition])); r.Offset != want {
			return fmt.Errorf("partition %d: offset %d, wanted %d", r.Partition, r.Offset, want)
		}
		made[r.Partition] = append(made[r.Partition], r)
	}
	return nil
}

func batch(kind string, n int) (v []*kgo.Record) {
	for i := range n {
		v = append(v, &kgo.Record{Partition: int32(i % 4), Key: fmt.Appendf(nil, "%s-%d", kind, i),
			Value: fmt.Appendf(nil, "value %s %d %s %s", kind, i, kind, kind)})
	}
	return v
}

func consume() error {
	parts := map[int32]kgo.Offset{}
	for p := range int32(4) {
		parts[p] = kgo.NewOffset().AtStart()
	}
	cl, err := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: parts}))
	if err != nil {
		return err
	}
	defer cl.Close()
	var got [4][]*kgo.Record
	for n, want := 0, total(); n < want; {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			return err
		}
		fs.EachRecord(func(r *kgo.Record) { got[r.Partition] = append(got[r.Partition], r); n++ })
	}
	for p := range 4 {
		for i, r := range got[p] {
			w := made[p][i]
			if r.Offset != int64(i) || !reflect.DeepEqual(r.Key, w.Key) || !reflect.DeepEqual(r.Value, w.Value) ||
				len(r.Headers) != len(w.Headers) || len(r.Headers) > 0 && !reflect.DeepEqual(r.Headers, w.Headers) {
				return fmt.Errorf("partition %d, record %d: got %+v, wanted %+v", p, i, r, w)
			}
		}
	}
	return nil
}

func total() (n int) {
	for _, v := range made {
		n += len(v)
	}
	return n
}

// member polls until stop is closed and counts what it got.
type member struct {
	cl       *kgo.Client
	assigned chan map[string][]int32
	seen     chan [2]int64
	stop     chan struct{}
	done     chan error
}

func join(balancer kgo.GroupBalancer) (*member, error) {
	m := &member{assigned: make(chan map[string][]int32, 100), seen: make(chan [2]int64, 100000),
		stop: make(chan struct{}), done: make(chan error, 1)}
	cl, err := client(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.Balancers(balancer), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.HeartbeatInterval(300*time.Millisecond))
	if err != nil {
		return nil, err
	}
	m.cl = cl
	go func() {
		for {
			c, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			fs := cl.PollFetches(c)
			cancel()
			if err := fs.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				m.done <- err
				return
			}
			fs.EachRecord(func(r *kgo.Record) { m.seen <- [2]int64{int64(r.Partition), r.Offset} })
			select {
			case <-m.stop:
				m.done <- nil
				return
			default:
			}
		}
	}()
	return m, nil
}

func (m *member) end() error {
	close(m.stop)
	err := <-m.done
	m.cl.Close()
	return err
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

func twoMembers(adm *kadm.Client, balancer kgo.GroupBalancer) error {
	shares := func(want ...int) func() (bool, error) {
		return func() (bool, error) {
			d, err := adm.DescribeGroups(ctx, group)
			if err != nil || d[group].State != "Stable" || len(d[group].Members) != len(want) {
				return false, err
			}
			for i, m := range d[group].Members {
				a, ok := m.Assigned.AsConsumer()
				if !ok || len(a.Topics) != 1 || len(a.Topics[0].Partitions) != want[i] {
					return false, nil
				}
			}
			return true, nil
		}
	}
	a, err := join(balancer)
	if err != nil {
		return err
	}
	if err := until("all for one", shares(4)); err != nil {
		return err
	}
	b, err := join(balancer)
	if err != nil {
		return err
	}
	if err := until("two each", shares(2, 2)); err != nil {
		return err
	}
	got := map[[2]int64]bool{}
	if err := until("every record", func() (bool, error) {
		for {
			select {
			case x := <-a.seen:
				got[x] = true
			case x := <-b.seen:
				got[x] = true
			default:
				return len(got) == total(), nil
			}
		}
	}); err != nil {
		return err
	}
	if err := b.end(); err != nil {
		return err
	}
	if err := until("the rest goes to the one that is left", shares(4)); err != nil {
		return err
	}
	var offsets = map[string]map[int32]kgo.EpochOffset{topic: {}}
	for p := range int32(4) {
		offsets[topic][p] = kgo.EpochOffset{Epoch: -1, Offset: int64(len(made[p]))}
	}
	var cerr error
	a.cl.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, r *kmsg.OffsetCommitResponse, err error) {
		cerr = err
		for i := 0; err == nil && i < len(r.Topics); i++ {
			for _, p := range r.Topics[i].Partitions {
				cerr = errors.Join(cerr, kerr.ErrorForCode(p.ErrorCode))
			}
		}
	})
	return errors.Join(cerr, a.end())
}

func offsets(adm *kadm.Client) error {
	lag, err := adm.Lag(ctx, group)
	if err != nil {
		return err
	}
	if err := same("lag", lag[group].Lag.Total(), int64(0)); err != nil {
		return err
	}
	var os kadm.Offsets
	os.Add(kadm.Offset{Topic: topic, Partition: 0, At: 3, LeaderEpoch: -1, Metadata: "note"})
	if err := adm.CommitAllOffsets(ctx, group, os); err != nil {
		return err
	}
	got, err := adm.FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	o, _ := got.Lookup(topic, 0)
	if err := same("committed", []any{o.At, o.Metadata}, []any{int64(3), "note"}); err != nil {
		return err
	}
	if o, _ = got.Lookup(topic, 1); o.At != int64(len(made[1])) {
		return fmt.Errorf("partition 1: committed %d", o.At)
	}
	start, err := adm.ListStartOffsets(ctx, topic)
	if err != nil {
		return err
	}
	end, err := adm.ListEndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	s, _ := start.Lookup(topic, 2)
	e, _ := end.Lookup(topic, 2)
	if err := same("ends", []any{s.Offset, e.Offset, e.LeaderEpoch >= 0}, []any{int64(0), int64(len(made[2])), true}); err != nil {
		return err
	}
	at := made[1][50].Timestamp.UnixMilli()
	want := int64(0)
	for made[1][want].Timestamp.UnixMilli() < at {
		want++
	}
	after, err := adm.ListOffsetsAfterMilli(ctx, at, topic)
	if err != nil {
		return err
	}
	t, _ := after.Lookup(topic, 1)
	if err := same("by time", []any{t.Offset, t.Timestamp}, []any{want, at}); err != nil {
		return err
	}
	max, err := adm.ListMaxTimestampOffsets(ctx, topic)
	if err != nil {
		return err
	}
	m, _ := max.Lookup(topic, 1)
	if m.Offset < 0 || m.Timestamp < at {
		return fmt.Errorf("max timestamp: %+v", m)
	}
	ends, err := adm.OffetForLeaderEpoch(ctx, func() (r kadm.OffsetForLeaderEpochRequest) { r.Add(topic, 1, e.LeaderEpoch); return }())
	if err != nil {
		return err
	}
	x := ends[topic][1]
	return same("end of the epoch", []any{x.Err, x.EndOffset}, []any{error(nil), int64(len(made[1]))})
}

func configs(adm *kadm.Client) error {
	value := "7200000"
	r, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &value}}, topic)
	if err == nil {
		err = r[0].Err
	}
	if err != nil {
		return err
	}
	if err := until("the new value", func() (bool, error) {
		c, err := adm.DescribeTopicConfigs(ctx, topic)
		if err != nil {
			return false, err
		}
		for _, x := range c[0].Configs {
			if x.Key == "retention.ms" {
				return x.MaybeValue() == value, c[0].Err
			}
		}
		return false, c[0].Err
	}); err != nil {
		return err
	}
	b, err := adm.DescribeBrokerConfigs(ctx, 1)
	if err != nil || len(b[0].Configs) < 50 {
		return fmt.Errorf("broker configs: %v, %d of them", err, len(b[0].Configs))
	}
	return b[0].Err
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "github.com/twmb/franz-go" {
				return d.Version
			}
		}
	}
	return "?"
}

func main() {
	fmt.Println("version", version())
	cl, err := client()
	if err != nil {
		fmt.Println("not ok start:", err)
		os.Exit(1)
	}
	adm := kadm.NewClient(cl)
	step("create", func() error {
		hour := "3600000"
		r, err := adm.CreateTopic(ctx, 2, 1, map[string]*string{"retention.ms": &hour}, topic)
		if err != nil {
			return err
		}
		c := r.Configs["retention.ms"]
		if r.NumPartitions != 2 || r.ReplicationFactor != 1 || c.MaybeValue() != hour {
			return fmt.Errorf("answer: %+v", r)
		}
		_, err = adm.CreateTopic(ctx, 2, 1, nil, topic)
		return same("a second time", errors.Is(err, kerr.TopicAlreadyExists), true)
	})
	step("describe", func() error {
		d, err := adm.ListTopics(ctx, topic)
		if err != nil {
			return err
		}
		b, err := adm.BrokerMetadata(ctx)
		if err != nil {
			return err
		}
		return same("topic", []any{len(d[topic].Partitions), d[topic].Partitions[0].Leader, d[topic].ID != kadm.TopicID{}, b.Controller},
			[]any{2, int32(1), true, int32(1)})
	})
	step("partitions", func() error {
		r, err := adm.UpdatePartitions(ctx, 4, topic)
		if err == nil {
			err = r.Error()
		}
		if err != nil {
			return err
		}
		return until("four partitions", func() (bool, error) {
			d, err := adm.ListTopics(ctx, topic)
			return err == nil && len(d[topic].Partitions) == 4, err
		})
	})
	step("configs", func() error { return configs(adm) })
	for name, codec := range map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()} {
		step("produce-"+name, func() error { return produce(batch(name, 400), kgo.ProducerBatchCompression(codec)) })
	}
	step("produce-acks", func() error {
		return produce(batch("one", 40), kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	})
	step("nulls-headers", func() error {
		return produce([]*kgo.Record{{Partition: 0}, {Partition: 1, Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")},
			{Key: "a", Value: []byte("2")}, {Key: "null", Value: nil}}}, {Partition: 2, Key: []byte("k")},
			{Partition: 3, Key: []byte{}, Value: []byte{}}})
	})
	step("idempotent", func() error { return produce(batch("once", 1000), kgo.ProducerBatchMaxBytes(2000)) })
	step("consume", consume)
	step("group", func() error { return twoMembers(adm, kgo.RangeBalancer()) })
	step("group-cooperative", func() error {
		if _, err := adm.DeleteGroup(ctx, group); err != nil {
			return err
		}
		return twoMembers(adm, kgo.CooperativeStickyBalancer())
	})
	step("offsets", func() error { return offsets(adm) })
	step("delete-records", func() error {
		var os kadm.Offsets
		os.Add(kadm.Offset{Topic: topic, Partition: 0, At: 100})
		r, err := adm.DeleteRecords(ctx, os)
		if err == nil {
			err = r.Error()
		}
		if err != nil {
			return err
		}
		s, err := adm.ListStartOffsets(ctx, topic)
		if err != nil {
			return err
		}
		o, _ := s.Lookup(topic, 0)
		return same("start", o.Offset, int64(100))
	})
	step("delete-group", func() error {
		r, err := adm.DeleteGroups(ctx, group)
		return errors.Join(err, r[group].Err)
	})
	step("delete", func() error {
		r, err := adm.DeleteTopics(ctx, topic)
		if err == nil {
			err = r[topic].Err
		}
		if err != nil {
			return err
		}
		return until("the topic is gone", func() (bool, error) {
			d, err := adm.ListTopics(ctx)
			return err == nil && !d.Has(topic), err
		})
	})
	cl.Close()
	if failed {
		os.Exit(1)
	}
}
