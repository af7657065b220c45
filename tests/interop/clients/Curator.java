import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.shared.VersionedValue;
import org.apache.curator.framework.recipes.watch.PersistentWatcher;
import org.apache.curator.retry.ExponentialBackoffRetry;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.data.Stat;

/** Curator's recipes among three clients: Curator ADDRESS. A line a step: ok NAME, or not ok NAME: why. */
public class Curator {
    static final int SECONDS = 20;
    static int failed;
    static final List<CuratorFramework> clients = new ArrayList<>();
    static final ExecutorService pool = Executors.newCachedThreadPool(r -> {
        Thread t = new Thread(r);
        t.setDaemon(true);
        return t;
    });

    interface Step {
        void run() throws Exception;
    }

    static void step(String name, Step s) {
        try {
            s.run();
            System.out.println("ok " + name);
        } catch (Throwable e) {
            failed++;
            System.out.println("not ok " + name + ": " + e);
        }
    }

    static void must(boolean ok, String what) {
        if (!ok)
            throw new AssertionError(what);
    }

    static CuratorFramework client(int i) {
        return clients.get(i);
    }

    static void until(String what, Callable<Boolean> ok) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(SECONDS);

        while (!ok.call()) {
            must(System.nanoTime() < end, "not within " + SECONDS + " s: " + what);
            Thread.sleep(5);
        }
    }

    /** Runs one task a client at the same time; all have to end well. */
    static void together(java.util.function.Function<Integer, Callable<Void>> task) throws Exception {
        List<Future<Void>> all = new ArrayList<>();

        for (int i = 0; i < clients.size(); i++)
            all.add(pool.submit(task.apply(i)));
        for (Future<Void> f : all)
            f.get(3 * SECONDS, TimeUnit.SECONDS);
    }

    static void lock() throws Exception {
        AtomicInteger inside = new AtomicInteger(), most = new AtomicInteger(), times = new AtomicInteger();

        together(i -> () -> {
            InterProcessMutex m = new InterProcessMutex(client(i), "/lock");

            for (int k = 0; k < 20; k++) {
                must(m.acquire(SECONDS, TimeUnit.SECONDS), "no lock");
                must(m.acquire(SECONDS, TimeUnit.SECONDS), "not entered again by its owner");
                most.accumulateAndGet(inside.incrementAndGet(), Math::max);
                times.incrementAndGet();
                inside.decrementAndGet();
                m.release();
                m.release();
            }
            return null;
        });
        must(most.get() == 1 && times.get() == 20 * clients.size(), most + " were inside at once");
    }

    static void readWriteLock() throws Exception {
        InterProcessReadWriteLock a = new InterProcessReadWriteLock(client(0), "/rw");
        InterProcessReadWriteLock b = new InterProcessReadWriteLock(client(1), "/rw");

        a.readLock().acquire();
        must(b.readLock().acquire(SECONDS, TimeUnit.SECONDS), "a second reader waits");
        must(!b.writeLock().acquire(100, TimeUnit.MILLISECONDS), "a writer beside a reader");
        b.readLock().release();
        a.readLock().release();
        must(b.writeLock().acquire(SECONDS, TimeUnit.SECONDS), "no writer");
        must(!a.readLock().acquire(100, TimeUnit.MILLISECONDS), "a reader beside a writer");
        b.writeLock().release();
    }

    static void semaphore() throws Exception {
        AtomicInteger inside = new AtomicInteger(), most = new AtomicInteger();

        together(i -> () -> {
            InterProcessSemaphoreV2 s = new InterProcessSemaphoreV2(client(i), "/semaphore", 2);

            for (int k = 0; k < 10; k++) {
                Lease l = s.acquire(SECONDS, TimeUnit.SECONDS);

                must(l != null, "no lease");
                most.accumulateAndGet(inside.incrementAndGet(), Math::max);
                inside.decrementAndGet();
                s.returnLease(l);
            }
            return null;
        });
        must(most.get() <= 2, most + " leases of two");
    }

    static void latch() throws Exception {
        List<LeaderLatch> all = new ArrayList<>();

        for (int i = 0; i < clients.size(); i++) {
            all.add(new LeaderLatch(client(i), "/latch", "n" + i));
            all.get(i).start();
        }
        for (int left = clients.size(); left > 0; left--) {
            until("a leader", () -> all.stream().filter(LeaderLatch::hasLeadership).count() == 1);
            LeaderLatch leader = all.stream().filter(LeaderLatch::hasLeadership).findFirst().get();

            must(leader.getParticipants().size() == left, "participants");
            all.remove(leader);
            leader.close();
        }
    }

    static void selector() throws Exception {
        Set<Integer> led = ConcurrentHashMap.newKeySet();
        AtomicInteger inside = new AtomicInteger(), most = new AtomicInteger();
        List<LeaderSelector> all = new ArrayList<>();

        for (int i = 0; i < clients.size(); i++) {
            int me = i;
            LeaderSelector s = new LeaderSelector(client(i), "/selector", new LeaderSelectorListenerAdapter() {
                @Override
                public void takeLeadership(CuratorFramework c) throws Exception {
                    most.accumulateAndGet(inside.incrementAndGet(), Math::max);
                    led.add(me);
                    Thread.sleep(10);
                    inside.decrementAndGet();
                }
            });
            s.autoRequeue();
            s.start();
            all.add(s);
        }
        until("each to lead once", () -> led.size() == clients.size());
        for (LeaderSelector s : all)
            s.close();
        must(most.get() == 1, most + " led at once");
    }

    static void barrier() throws Exception {
        DistributedBarrier b = new DistributedBarrier(client(0), "/barrier");
        AtomicInteger through = new AtomicInteger();

        b.setBarrier();
        List<Future<?>> waiting = new ArrayList<>();
        for (int i = 1; i < clients.size(); i++) {
            DistributedBarrier mine = new DistributedBarrier(client(i), "/barrier");

            waiting.add(pool.submit(() -> {
                must(mine.waitOnBarrier(SECONDS, TimeUnit.SECONDS), "the barrier stayed");
                return through.incrementAndGet();
            }));
        }
        Thread.sleep(100);
        must(through.get() == 0, "through a barrier that is set");
        b.removeBarrier();
        for (Future<?> f : waiting)
            f.get(SECONDS, TimeUnit.SECONDS);
    }

    static void doubleBarrier() throws Exception {
        AtomicInteger entered = new AtomicInteger(), wrong = new AtomicInteger();

        together(i -> () -> {
            DistributedDoubleBarrier b = new DistributedDoubleBarrier(client(i), "/double", clients.size());

            Thread.sleep(20L * i);
            entered.incrementAndGet();
            must(b.enter(SECONDS, TimeUnit.SECONDS), "not entered");
            if (entered.get() != clients.size())
                wrong.incrementAndGet();
            must(b.leave(SECONDS, TimeUnit.SECONDS), "not left");
            return null;
        });
        must(wrong.get() == 0, "somebody went in before all were there");
    }

    static void queue() throws Exception {
        int n = 60;
        Set<String> taken = ConcurrentHashMap.newKeySet();
        AtomicInteger twice = new AtomicInteger();
        SimpleDistributedQueue in = new SimpleDistributedQueue(client(0), "/queue");

        Future<?> feeding = pool.submit(() -> {
            for (int k = 0; k < n; k++)
                in.offer(("item " + k).getBytes());
            return null;
        });
        together(i -> () -> {
            SimpleDistributedQueue q = new SimpleDistributedQueue(client(i), "/queue");

            for (int k = 0; k < n / clients.size(); k++) {
                byte[] v = q.poll(SECONDS, TimeUnit.SECONDS);

                must(v != null, "nothing came");
                if (!taken.add(new String(v)))
                    twice.incrementAndGet();
            }
            return null;
        });
        feeding.get(SECONDS, TimeUnit.SECONDS);
        must(taken.size() == n && twice.get() == 0, taken.size() + " of " + n + ", " + twice + " twice");
    }

    static void cache() throws Exception {
        try (CuratorCache c = CuratorCache.build(client(1), "/cache")) {
            BlockingQueue<String> events = new LinkedBlockingQueue<>();

            client(0).create().forPath("/cache", new byte[0]);
            CountDownLatch started = new CountDownLatch(1);
            c.listenable().addListener(new org.apache.curator.framework.recipes.cache.CuratorCacheListener() {
                @Override
                public void event(Type type, org.apache.curator.framework.recipes.cache.ChildData before,
                                  org.apache.curator.framework.recipes.cache.ChildData data) {
                    events.add(type + " " + (data != null ? data : before).getPath());
                }

                @Override
                public void initialized() {
                    started.countDown();
                }
            });
            c.start();
            must(started.await(SECONDS, TimeUnit.SECONDS), "no start");
            client(0).create().creatingParentsIfNeeded().forPath("/cache/a/b", "1".getBytes());
            client(0).setData().forPath("/cache/a/b", "2".getBytes());
            client(0).delete().forPath("/cache/a/b");
            for (String want : List.of("NODE_CREATED /cache", "NODE_CREATED /cache/a", "NODE_CREATED /cache/a/b",
                                       "NODE_CHANGED /cache/a/b", "NODE_DELETED /cache/a/b")) {
                String got = events.poll(SECONDS, TimeUnit.SECONDS);

                must(want.equals(got), want + " wanted, not " + got);
            }
            for (int k = 0; k < 500; k++)
                client(0).create().forPath("/cache/a/n" + k, ("v" + k).getBytes());
            until("all in the cache", () -> c.size() == 502 && c.get("/cache/a/n499").isPresent());
            must("v77".equals(new String(c.get("/cache/a/n77").get().getData())), "another value");
        }
    }

    static void counters() throws Exception {
        together(i -> () -> {
            DistributedAtomicLong n = new DistributedAtomicLong(client(i), "/atomic", new ExponentialBackoffRetry(5, 20));

            for (int k = 0; k < 20; k++)
                until("an increment", () -> n.increment().succeeded());
            return null;
        });
        must(new DistributedAtomicLong(client(0), "/atomic", new ExponentialBackoffRetry(5, 3)).get().postValue() ==
             20L * clients.size(), "increments lost");
        try (SharedCount a = new SharedCount(client(0), "/count", 7); SharedCount b = new SharedCount(client(1), "/count", 7)) {
            a.start();
            b.start();
            a.setCount(8);
            until("the other to see it", () -> b.getCount() == 8);
            VersionedValue<Integer> old = b.getVersionedValue();
            must(a.trySetCount(a.getVersionedValue(), 9), "a set with the right version");
            must(!b.trySetCount(old, 10), "a set with an old version");
        }
    }

    static void nodes() throws Exception {
        try (PersistentNode n = new PersistentNode(client(0), CreateMode.EPHEMERAL, false, "/persistent", "x".getBytes())) {
            n.start();
            must(n.waitForInitialCreate(SECONDS, TimeUnit.SECONDS), "not made");
            client(1).delete().forPath("/persistent");
            until("it to come again", () -> client(1).checkExists().forPath("/persistent") != null);
        }
        GroupMember a = new GroupMember(client(0), "/group", "a"), b = new GroupMember(client(1), "/group", "b");
        a.start();
        b.start();
        until("two members", () -> a.getCurrentMembers().size() == 2 && b.getCurrentMembers().size() == 2);
        b.close();
        until("one member", () -> a.getCurrentMembers().size() == 1);
        a.close();
    }

    static void ttl() throws Exception {
        PersistentTtlNode n = new PersistentTtlNode(client(0), "/ttl", 400, "x".getBytes());

        n.start();
        must(n.waitForInitialCreate(SECONDS, TimeUnit.SECONDS), "not made");
        Thread.sleep(1500);
        must(client(1).checkExists().forPath("/ttl") != null, "gone though it is touched");
        n.close();
        until("it to go", () -> client(1).checkExists().forPath("/ttl") == null);
    }

    static void transaction() throws Exception {
        CuratorFramework c = client(0);
        Collection<CuratorTransactionResult> r = c.transaction().forOperations(
            c.transactionOp().create().forPath("/tx", "1".getBytes()),
            c.transactionOp().create().withMode(CreateMode.PERSISTENT_SEQUENTIAL).forPath("/tx/s-"),
            c.transactionOp().setData().withVersion(0).forPath("/tx", "2".getBytes()),
            c.transactionOp().check().withVersion(1).forPath("/tx"));

        must(r.size() == 4 && r.iterator().next().getResultPath().equals("/tx"), "results");
        try {
            c.transaction().forOperations(c.transactionOp().delete().forPath("/tx/s-0000000000"),
                                          c.transactionOp().check().withVersion(9).forPath("/tx"));
            must(false, "a wrong version was taken");
        } catch (KeeperException.BadVersionException expected) {
            must(c.checkExists().forPath("/tx/s-0000000000") != null, "half of it was done");
        }
    }

    static void watcher() throws Exception {
        BlockingQueue<String> events = new LinkedBlockingQueue<>();

        try (PersistentWatcher w = new PersistentWatcher(client(1), "/watched", true)) {
            w.getListenable().addListener(e -> events.add(e.getType() + " " + e.getPath()));
            CountDownLatch set = new CountDownLatch(1);
            w.getResetListenable().addListener(set::countDown);
            w.start();
            must(set.await(SECONDS, TimeUnit.SECONDS), "not set");
            client(0).create().creatingParentsIfNeeded().forPath("/watched/a");
            client(0).setData().forPath("/watched/a", "1".getBytes());
            client(0).setData().forPath("/watched/a", "2".getBytes());
            for (String want : List.of("NodeCreated /watched", "NodeCreated /watched/a", "NodeDataChanged /watched/a",
                                       "NodeDataChanged /watched/a")) {
                String got = events.poll(SECONDS, TimeUnit.SECONDS);

                must(want.equals(got), want + " wanted, not " + got);
            }
        }
    }

    static void protection() throws Exception {
        String p = client(0).create().creatingParentContainersIfNeeded().withProtection()
            .withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath("/box/x-");

        must(p.startsWith("/box/_c_") && client(1).getChildren().forPath("/box").size() == 1, p);
        Stat st = new Stat();
        client(0).getData().storingStatIn(st).forPath(p);
        must(st.getEphemeralOwner() == client(0).getZookeeperClient().getZooKeeper().getSessionId(), "owner");
    }

    public static void main(String[] args) throws Exception {
        System.out.println("version " + System.getProperty("version"));
        for (int i = 0; i < 3; i++) {
            CuratorFramework c = CuratorFrameworkFactory.builder().connectString(args[0]).namespace("curator")
                .sessionTimeoutMs(10000).retryPolicy(new ExponentialBackoffRetry(50, 10)).build();

            c.start();
            must(c.blockUntilConnected(SECONDS, TimeUnit.SECONDS), "no connection");
            clients.add(c);
        }
        step("lock", Curator::lock);
        step("read-write-lock", Curator::readWriteLock);
        step("semaphore", Curator::semaphore);
        step("leader-latch", Curator::latch);
        step("leader-selector", Curator::selector);
        step("barrier", Curator::barrier);
        step("double-barrier", Curator::doubleBarrier);
        step("queue", Curator::queue);
        step("cache", Curator::cache);
        step("counters", Curator::counters);
        step("persistent-node, group", Curator::nodes);
        step("ttl-node", Curator::ttl);
        step("transaction", Curator::transaction);
        step("persistent-watcher", Curator::watcher);
        step("protected-create, container", Curator::protection);
        for (CuratorFramework c : clients)
            c.close();
        System.exit(failed > 0 ? 1 : 0);
    }
}
