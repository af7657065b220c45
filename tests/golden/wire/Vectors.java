// Vectors.java - golden messages from Apache Kafka's own classes.
//
//   java -cp kafka-clients-4.4.0.jar:... Vectors.java JAR... >vectors.txt
//
// Each JAR is searched for generated message classes (those with SCHEMAS). For each of their versions
// it makes up values, writes them by Kafka's schema, lets Kafka's message class read and write the
// bytes again, and prints a line: message, version, hex, and the values as wire_print() would show
// them. The lines are compared with our codec by tests/unit/wire_golden.c.
import java.lang.reflect.Modifier;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.jar.JarFile;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.Readable;
import org.apache.kafka.common.protocol.types.*;
import org.apache.kafka.common.record.internal.MemoryRecords;

public class Vectors {
    static final Set<String> SECRET = Set.of("auth_bytes", "hmac", "salt", "salted_password");
    static final Set<String> SECRET_VALUE = Set.of("AlterConfigsRequest", "IncrementalAlterConfigsRequest");
    static String message;
    static Random r;
    static boolean full;    // no nulls, no empty arrays, all tags

    static long number(long min, long max) {
        switch (r.nextInt(6)) {
        case 0: return min;
        case 1: return max;
        case 2: return Math.min(max, Math.max(min, r.nextInt(7) + 1));
        default: return min == Long.MIN_VALUE ? r.nextLong() : min + Math.floorMod(r.nextLong(), max - min + 1);
        }
    }

    static String hex(byte[] b, int n) {
        StringBuilder s = new StringBuilder();
        for (int i = 0; i < n; i++)
            s.append(String.format("%02x", b[i]));
        return s.toString();
    }

    static boolean isRecords(Type t) {
        return t == Type.RECORDS || t == Type.COMPACT_RECORDS || t.toString().contains("RECORDS");
    }

    // A value of type t; its text goes to out.
    static Object make(Type t, StringBuilder out, int depth) {
        if (t.isNullable() && !full && r.nextInt(3) == 0) {
            out.append("null");
            return null;
        }
        if (t.isArray()) {
            int n = full ? (depth == 0 ? 2 : 1) : r.nextInt(3);
            Object[] a = new Object[n];
            out.append("[");
            for (int i = 0; i < n; i++) {
                out.append(i > 0 ? " " : "");
                a[i] = make(t.arrayElementType().get(), out, depth + 1);
            }
            out.append("]");
            return a;
        }
        if (t instanceof Schema)
            return struct((Schema) t, out, depth + 1);
        String name = t.toString();
        if (isRecords(t)) {
            byte[] b = new byte[1 + r.nextInt(20)];
            r.nextBytes(b);
            out.append("<" + b.length + " bytes>");
            return MemoryRecords.readableRecords(ByteBuffer.wrap(b));
        }
        if (name.endsWith("STRING")) {
            StringBuilder s = new StringBuilder();
            for (int i = full ? 1 + r.nextInt(5) : r.nextInt(6); i > 0; i--)
                s.append((char) ('a' + r.nextInt(26)));
            out.append("\"" + s + "\"");
            return s.toString();
        }
        if (name.endsWith("BYTES")) {
            byte[] b = new byte[full ? 1 + r.nextInt(20) : r.nextInt(20)];
            r.nextBytes(b);
            out.append("<" + b.length + " bytes" + (b.length > 0 ? " " : "") + hex(b, Math.min(16, b.length))
                + (b.length > 16 ? ".." : "") + ">");
            return ByteBuffer.wrap(b);
        }
        switch (name) {
        case "BOOLEAN": { boolean v = full || r.nextBoolean(); out.append(v); return v; }
        case "INT8": { byte v = (byte) number(Byte.MIN_VALUE, Byte.MAX_VALUE); out.append(v); return v; }
        case "INT16": { short v = (short) number(Short.MIN_VALUE, Short.MAX_VALUE); out.append(v); return v; }
        case "UINT16": { int v = (int) number(0, 65535); out.append(v); return v; }
        case "INT32": { int v = (int) number(Integer.MIN_VALUE, Integer.MAX_VALUE); out.append(v); return v; }
        case "UINT32": { long v = number(0, 4294967295L); out.append(v); return v; }
        case "INT64": { long v = number(Long.MIN_VALUE, Long.MAX_VALUE); out.append(v); return v; }
        case "FLOAT64": {
            double v = r.nextGaussian();
            out.append(String.format("0x%016x", Double.doubleToRawLongBits(v)));
            return v;
        }
        case "UUID": {
            Uuid v = new Uuid(r.nextLong(), r.nextLong());
            out.append(v);
            return v;
        }
        default: throw new RuntimeException("type " + name);
        }
    }

    static Struct struct(Schema s, StringBuilder out, int depth) {
        Struct v = new Struct(s);
        boolean first = true;
        out.append("{");
        for (BoundField f : s.fields()) {
            if (f.def.type instanceof TaggedFields) {
                Map<Integer, Object> tags = new TreeMap<>();
                for (Map.Entry<Integer, Field> e : new TreeMap<>(((TaggedFields) f.def.type).fields()).entrySet())
                    if (full || r.nextBoolean()) {
                        first = field(e.getValue(), out, first, depth, x -> tags.put(e.getKey(), x));
                    }
                v.set(f, tags);
            } else
                first = field(f.def, out, first, depth, x -> v.set(f, x));
        }
        out.append("}");
        return v;
    }

    static boolean field(Field f, StringBuilder out, boolean first, int depth, java.util.function.Consumer<Object> to) {
        StringBuilder text = new StringBuilder();
        boolean secret = SECRET.contains(f.name) || (f.name.equals("value") && SECRET_VALUE.contains(message));
        to.accept(make(f.type, text, depth));
        out.append((first ? "" : " ") + f.name + "=" + (secret ? "***" : text));
        return false;
    }

    static byte[] again(Class<?> c, byte[] b, short version) throws Exception {
        Message m = (Message) c.getConstructor(Readable.class, short.class)
            .newInstance(new ByteBufferAccessor(ByteBuffer.wrap(b)), version);
        ObjectSerializationCache cache = new ObjectSerializationCache();
        int n = m.size(cache, version);
        ByteBuffer out = ByteBuffer.allocate(n);
        m.write(new ByteBufferAccessor(out), cache, version);
        return out.array();
    }

    static void print(Class<?> c, Schema[] all, int version) throws Exception {
        message = c.getSimpleName().replaceAll("(Request|Response|Header|Assignment|Subscription)Data$", "$1");
        for (int variant = 0; variant < 2; variant++)
            for (int attempt = 0; ; attempt++) {
                full = variant == 0;
                r = new Random((message + version + "/" + variant + "/" + attempt).hashCode());
                StringBuilder text = new StringBuilder();
                Struct s = struct(all[version], text, -1);
                ByteBuffer out = ByteBuffer.allocate(all[version].sizeOf(s));
                all[version].write(out, s);
                byte[] b = out.array();
                // A tagged field that came out as its default is left out by the class: other values.
                if (!java.util.Arrays.equals(b, again(c, b, (short) version))) {
                    if (attempt == 50)
                        throw new RuntimeException(message + " v" + version + " does not come back");
                    continue;
                }
                System.out.println(message + " " + version + " " + (b.length > 0 ? hex(b, b.length) : "-") + " " + text);
                break;
            }
    }

    public static void main(String[] jars) throws Exception {
        List<String> names = new ArrayList<>();
        for (String jar : jars)
            try (JarFile j = new JarFile(jar)) {
                j.stream().map(e -> e.getName()).filter(n -> n.matches("org/apache/kafka/.*(message|generated)/\\w+\\.class"))
                    .forEach(n -> names.add(n.replace('/', '.').replace(".class", "")));
            }
        names.sort(null);
        for (String n : names) {
            Class<?> c = Class.forName(n);
            Schema[] all;
            if (!Message.class.isAssignableFrom(c) || Modifier.isAbstract(c.getModifiers()))
                continue;
            try {
                all = (Schema[]) c.getField("SCHEMAS").get(null);
            } catch (NoSuchFieldException e) {
                continue;
            }
            for (int v = 0; v < all.length; v++)
                if (all[v] != null)
                    print(c, all, v);
        }
    }
}
