// Batches.java - golden batches from Apache Kafka's own classes (kafka-clients 4.4.0).
// Records are those of tests/unit/test_codec.c, expect().
// java -cp kafka-clients-4.4.0.jar:lz4-java.jar:snappy-java.jar:zstd-jni.jar:slf4j-api.jar Batches.java DIR
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.*;
import org.apache.kafka.common.record.internal.*;

public class Batches {
    static final long T0 = 1700000000000L;

    static byte[] b(String s) {
        return s.getBytes(java.nio.charset.StandardCharsets.UTF_8);
    }

    static void fill(MemoryRecordsBuilder m, boolean headers) {
        for (int i = 0; i < 100; i++) {
            List<Header> h = new ArrayList<>();
            if (headers && i % 3 == 0)
                h.add(new RecordHeader("h", b("" + i)));
            if (headers && i % 6 == 0)
                h.add(new RecordHeader("n", (byte[]) null));
            byte[] key = i % 10 == 0 ? null : b(String.format("key-%04d", i));
            byte[] value = i % 11 == 5 ? null : b("value-" + i + "-" + "abc".repeat(i % 50));
            long ts = T0 + i * 37 % 100;
            if (headers)
                m.append(ts, key, value, h.toArray(new Header[0]));
            else
                m.append(ts, key, value);
        }
    }

    static void save(String dir, String name, MemoryRecordsBuilder m) throws Exception {
        ByteBuffer out = m.build().buffer().duplicate();
        try (FileChannel f = FileChannel.open(Path.of(dir, name), StandardOpenOption.CREATE,
                StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
            f.write(out);
        }
    }

    static MemoryRecordsBuilder one(byte magic, Compression c, boolean txn) {
        return new MemoryRecordsBuilder(ByteBuffer.allocate(1 << 16), magic, c, TimestampType.CREATE_TIME, 0L, -1L,
            txn ? 4711L : -1L, txn ? (short) 3 : -1, txn ? 17 : -1, txn, false, -1, 1 << 16);
    }

    public static void main(String[] a) throws Exception {
        Object[][] all = {
            { "none", Compression.NONE }, { "gzip", Compression.gzip().build() },
            { "snappy", Compression.snappy().build() }, { "lz4", Compression.lz4().build() },
            { "zstd", Compression.zstd().build() }, { "lz4-17", Compression.lz4().level(17).build() },
            { "zstd-22", Compression.zstd().level(22).build() }, { "gzip-1", Compression.gzip().level(1).build() },
        };
        for (Object[] x : all) {
            String name = (String) x[0];
            MemoryRecordsBuilder m = one((byte) 2, (Compression) x[1], false);
            fill(m, true);
            save(a[0], "java-v2-" + name + ".bin", m);
            if (name.contains("-") || name.equals("zstd"))
                continue;
            for (byte magic = 0; magic < 2; magic++)
                try {
                    m = one(magic, (Compression) x[1], false);
                    fill(m, false);
                    save(a[0], "java-v" + magic + "-" + name + ".bin", m);
                } catch (Exception e) {
                    System.err.println("v" + magic + " " + name + ": " + e);
                }
        }
        MemoryRecordsBuilder m = one((byte) 2, Compression.lz4().build(), true);
        fill(m, true);
        save(a[0], "java-v2-txn.bin", m);
    }
}
