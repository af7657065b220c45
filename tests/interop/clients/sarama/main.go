// sarama: sarama BOOTSTRAP. Written for IBM/sarama and for Shopify/sarama 1.27, whose name is put in when that one is built.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

var (
	boot   = os.Args[1]
	topic  = fmt.Sprintf("sarama-%08x", time.Now().UnixNano()&0xffffffff)
	group  = "g-" + topic
	made   [4][]*sarama.ProducerMessage
	failed = false
)

func step(name string, f func() error) {
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
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok, err := check(); err != nil || ok {
			return err
		}
	}
	return fmt.Errorf("not in time: %s", what)
}

func config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	c.Producer.Return.Successes = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Interval = 200 * time.Millisecond
	c.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	c.Consumer.Group.Session.Timeout = 6 * time.Second
	return c
}

func produce(records []*sarama.ProducerMessage, set func(*sarama.Config)) error {
	c := config()
	set(c)
	p, err := sarama.NewSyncProducer([]string{boot}, c)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.SendMessages(records); err != nil {
		return err
	}
	sort.Slice(records, func(i, j int) bool { return records[i].Offset < records[j].Offset })
	for _, r := range records {
		if want := int64(len(made[r.Partition])); r.Offset != want {
			return fmt.Errorf("partition %d: offset %d, wanted %d", r.Partition, r.Offset, want)
		}
		made[r.Partition] = append(made[r.Partition], r)
	}
	return nil
}

func text(s string) sarama.Encoder { return sarama.StringEncoder(s) }

func batch(kind string, n int) (v []*sarama.ProducerMessage) {
	for i := range n {
		v = append(v, &sarama.ProducerMessage{Topic: topic, Partition: int32(i % 4), Key: text(fmt.Sprint(kind, i)),
			Value: text(strings.Repeat(kind, 10))})
	}
	return v
}

func total() (n int64) {
	for _, v := range made {
		n += int64(len(v))
	}
	return n
}

func bytesOf(e sarama.Encoder) []byte {
	if e == nil {
		return nil
	}
	b, _ := e.Encode()
	return b
}

func consume() error {
	c, err := sarama.NewConsumer([]string{boot}, config())
	if err != nil {
		return err
	}
	defer c.Close()
	for p := range int32(4) {
		pc, err := c.ConsumePartition(topic, p, sarama.OffsetOldest)
		if err != nil {
			return err
		}
		for i, w := range made[p] {
			select {
			case m := <-pc.Messages():
				if m.Offset != int64(i) || !reflect.DeepEqual(m.Key, bytesOf(w.Key)) || !reflect.DeepEqual(m.Value, bytesOf(w.Value)) ||
					len(m.Headers) != len(w.Headers) {
					return fmt.Errorf("partition %d, record %d: got %+v, wanted %+v", p, i, m, w)
				}
				for k, h := range m.Headers {
					if !reflect.DeepEqual(*h, w.Headers[k]) {
						return fmt.Errorf("header %d: got %+v, wanted %+v", k, *h, w.Headers[k])
					}
				}
			case <-time.After(30 * time.Second):
				return fmt.Errorf("partition %d: no record %d", p, i)
			}
		}
		pc.Close()
	}
	return nil
}

type member struct {
	sync.Mutex
	claims []int32
	seen   map[[2]int64]bool
	cancel context.CancelFunc
	done   chan error
}

func (m *member) Setup(s sarama.ConsumerGroupSession) error {
	m.Lock()
	defer m.Unlock()
	m.claims = s.Claims()[topic]
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error {
	m.Lock()
	defer m.Unlock()
	m.claims = nil
	return nil
}

func (m *member) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for {
		select {
		case r, ok := <-c.Messages():
			if !ok {
				return nil
			}
			m.Lock()
			m.seen[[2]int64{int64(r.Partition), r.Offset}] = true
			m.Unlock()
			s.MarkMessage(r, "note")
		case <-s.Context().Done():
			return nil
		}
	}
}

func (m *member) has() (int, int) {
	m.Lock()
	defer m.Unlock()
	return len(m.claims), len(m.seen)
}

func join() (*member, error) {
	m := &member{seen: map[[2]int64]bool{}, done: make(chan error, 1)}
	g, err := sarama.NewConsumerGroup([]string{boot}, group, config())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	go func() {
		for ctx.Err() == nil {
			if err := g.Consume(ctx, []string{topic}, m); err != nil && ctx.Err() == nil {
				fmt.Println("consume:", err)
			}
		}
		m.done <- g.Close()
	}()
	return m, nil
}

func twoMembers(adm sarama.ClusterAdmin) error {
	a, err := join()
	if err != nil {
		return err
	}
	if err := until("all for one", func() (bool, error) { n, _ := a.has(); return n == 4, nil }); err != nil {
		return err
	}
	b, err := join()
	if err != nil {
		return err
	}
	if err := until("two each", func() (bool, error) {
		x, _ := a.has()
		y, _ := b.has()
		return x == 2 && y == 2, nil
	}); err != nil {
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
		return int64(len(all)) == total(), nil
	}); err != nil {
		return err
	}
	d, err := adm.DescribeConsumerGroups([]string{group})
	if err != nil || d[0].State != "Stable" || len(d[0].Members) != 2 {
		return fmt.Errorf("described as %+v: %v", d, err)
	}
	b.cancel()
	if err := <-b.done; err != nil {
		return err
	}
	if err := until("the rest goes to the one that is left", func() (bool, error) { n, _ := a.has(); return n == 4, nil }); err != nil {
		return err
	}
	if err := until("the commits", func() (bool, error) {
		o, err := adm.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0, 1, 2, 3}})
		if err != nil {
			return false, err
		}
		for p := range int32(4) {
			if b := o.GetBlock(topic, p); b == nil || b.Offset != int64(len(made[p])) || b.Metadata != "note" {
				return false, nil
			}
		}
		return true, nil
	}); err != nil {
		return err
	}
	a.cancel()
	return <-a.done
}

func offsets(cl sarama.Client, adm sarama.ClusterAdmin) error {
	at := func(p int32, t int64) int64 {
		o, err := cl.GetOffset(topic, p, t)
		if err != nil {
			return -99
		}
		return o
	}
	if err := same("offsets", []int64{at(0, sarama.OffsetOldest), at(2, sarama.OffsetNewest), at(1, 1000),
		at(1, time.Now().UnixMilli()+100000000)}, []int64{0, int64(len(made[2])), 0, -1}); err != nil {
		return err
	}
	groups, err := adm.ListConsumerGroups()
	if err != nil {
		return err
	}
	if err := same("the group", groups[group], "consumer"); err != nil {
		return err
	}
	om, err := sarama.NewOffsetManagerFromClient("simple-"+group, cl)
	if err != nil {
		return err
	}
	pom, err := om.ManagePartition(topic, 0)
	if err != nil {
		return err
	}
	pom.MarkOffset(3, "simple")
	om.Commit()
	pom.Close()
	om.Close()
	o, err := adm.ListConsumerGroupOffsets("simple-"+group, map[string][]int32{topic: {0}})
	if err != nil {
		return err
	}
	return same("committed", []any{o.GetBlock(topic, 0).Offset, o.GetBlock(topic, 0).Metadata}, []any{int64(3), "simple"})
}

func configs(adm sarama.ClusterAdmin) error {
	value := func() (string, error) {
		e, err := adm.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}})
		if err != nil || len(e) != 1 {
			return "", fmt.Errorf("%d entries: %v", len(e), err)
		}
		return e[0].Value, nil
	}
	v, err := value()
	if err != nil || v != "3600000" {
		return fmt.Errorf("%s: %v", v, err)
	}
	want := "7200000"
	if err := adm.AlterConfig(sarama.TopicResource, topic, map[string]*string{"retention.ms": &want}, false); err != nil {
		return err
	}
	return until("the new value", func() (bool, error) { v, err := value(); return v == want, err })
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if strings.HasSuffix(d.Path, "/sarama") {
				return d.Version
			}
		}
	}
	return "?"
}

func main() {
	fmt.Println("version", version())
	cl, err := sarama.NewClient([]string{boot}, config())
	if err != nil {
		fmt.Println("not ok start:", err)
		os.Exit(1)
	}
	adm, err := sarama.NewClusterAdmin([]string{boot}, config())
	if err != nil {
		fmt.Println("not ok start:", err)
		os.Exit(1)
	}
	step("create", func() error {
		hour := "3600000"
		d := &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &hour}}
		if err := adm.CreateTopic(topic, d, false); err != nil {
			return err
		}
		var te *sarama.TopicError
		if err := adm.CreateTopic(topic, d, false); !errors.As(err, &te) || te.Err != sarama.ErrTopicAlreadyExists {
			return fmt.Errorf("a second time: %v", err)
		}
		return nil
	})
	step("describe", func() error {
		d, err := adm.DescribeTopics([]string{topic})
		if err != nil {
			return err
		}
		_, controller, err := adm.DescribeCluster()
		if err != nil {
			return err
		}
		return same("topic", []any{len(d[0].Partitions), d[0].Partitions[0].Leader, controller}, []any{2, int32(1), int32(1)})
	})
	step("partitions", func() error {
		if err := adm.CreatePartitions(topic, 4, nil, false); err != nil {
			return err
		}
		return until("four partitions", func() (bool, error) {
			if err := cl.RefreshMetadata(topic); err != nil {
				return false, err
			}
			p, err := cl.Partitions(topic)
			return len(p) == 4, err
		})
	})
	step("configs", func() error { return configs(adm) })
	for i, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		step("produce-"+name, func() error {
			return produce(batch(name, 400), func(c *sarama.Config) { c.Producer.Compression = sarama.CompressionCodec(i) })
		})
	}
	step("nulls-headers", func() error {
		return produce([]*sarama.ProducerMessage{{Topic: topic, Partition: 0}, {Topic: topic, Partition: 1, Value: text("v"),
			Headers: []sarama.RecordHeader{{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("a"), Value: []byte("2")}}},
			{Topic: topic, Partition: 2, Key: text("k")}}, func(*sarama.Config) {})
	})
	step("idempotent", func() error {
		return produce(batch("once", 1000), func(c *sarama.Config) {
			c.Producer.Idempotent = true
			c.Net.MaxOpenRequests = 1
			c.Producer.Flush.MaxMessages = 20
		})
	})
	step("consume", consume)
	step("group", func() error { return twoMembers(adm) })
	step("offsets", func() error { return offsets(cl, adm) })
	step("delete-records", func() error {
		if err := adm.DeleteRecords(topic, map[int32]int64{0: 100}); err != nil {
			return err
		}
		o, err := cl.GetOffset(topic, 0, sarama.OffsetOldest)
		if err != nil {
			return err
		}
		return same("start", o, int64(100))
	})
	step("delete-group", func() error { return adm.DeleteConsumerGroup(group) })
	step("delete", func() error {
		if err := adm.DeleteTopic(topic); err != nil {
			return err
		}
		return until("the topic is gone", func() (bool, error) {
			t, err := adm.ListTopics()
			_, there := t[topic]
			return !there, err
		})
	})
	if failed {
		os.Exit(1)
	}
}
