/*
 * Codec.java - Kafka's own message classes behind a line protocol: the independent decoder of kafka-diff.
 *
 * One command a line on standard input, one answer a line: "ok TEXT" or "err TEXT".
 *   enc KEY VERSION CORRELATION JSON     -> hex of header and body of a request (client id "kafka-diff")
 *   dec KEY VERSION HEX                  -> JSON of header, body and the count of bytes behind them
 *   batch JSON                           -> hex of one record batch
 *   batches HEX                          -> JSON of the batches of a fetch, offsets to records
 *   apis                                 -> JSON of [key, name, lowest, highest] of each API
 * JSON names are Kafka's (camelCase); fields that a version lacks are left out, fields not given have
 * Kafka's defaults. Bytes and records are hex, topic ids Kafka's 22 characters.
 */
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.Map;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.record.internal.BaseRecords;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;

public class Codec {
	static final ObjectMapper JSON = new ObjectMapper();
	static final HexFormat HEX = HexFormat.of();

	static boolean inVersion(Class<?> c, String name, short version) throws Exception {
		Schema schema = ((Schema[]) c.getField("SCHEMAS").get(null))[version];
		for (BoundField f : schema.fields()) {
			if (f.def.name.replace("_", "").equalsIgnoreCase(name))
				return true;
			if (f.def.type instanceof TaggedFields t)
				for (var tagged : t.fields().values())
					if (tagged.name.replace("_", "").equalsIgnoreCase(name))
						return true;
		}
		return false;
	}

	static Class<?> elementOf(Field f) {
		Type t = f.getGenericType();
		if (!(t instanceof ParameterizedType))
			t = f.getType().getGenericSuperclass();
		return (Class<?>) ((ParameterizedType) t).getActualTypeArguments()[0];
	}

	@SuppressWarnings("unchecked")
	static Object read(JsonNode n, Class<?> type, Field of, short version) throws Exception {
		if (n.isNull())
			return null;
		if (Collection.class.isAssignableFrom(type)) {
			Collection<Object> all = type.isInterface() ? new ArrayList<>() :
				(Collection<Object>) type.getConstructor().newInstance();
			for (JsonNode e : n)
				all.add(read(e, elementOf(of), of, version));
			return all;
		}
		if (type == String.class) return n.asText();
		if (type == boolean.class || type == Boolean.class) return n.asBoolean();
		if (type == byte.class || type == Byte.class) return (byte) n.asInt();
		if (type == short.class || type == Short.class) return (short) n.asInt();
		if (type == int.class || type == Integer.class) return n.asInt();
		if (type == long.class || type == Long.class) return n.asLong();
		if (type == double.class || type == Double.class) return n.asDouble();
		if (type == Uuid.class) return Uuid.fromString(n.asText());
		if (type == byte[].class) return HEX.parseHex(n.asText());
		if (type == ByteBuffer.class) return ByteBuffer.wrap(HEX.parseHex(n.asText()));
		if (BaseRecords.class.isAssignableFrom(type))
			return MemoryRecords.readableRecords(ByteBuffer.wrap(HEX.parseHex(n.asText())));
		Message m = (Message) type.getConstructor().newInstance();
		fill(m, n, version);
		return m;
	}

	static void fill(Message m, JsonNode n, short version) throws Exception {
		for (Iterator<Map.Entry<String, JsonNode>> i = n.fields(); i.hasNext(); ) {
			Map.Entry<String, JsonNode> e = i.next();
			if (e.getKey().equals("_tags")) {	/* {tag: hex} that no version knows */
				for (var t : e.getValue().properties())
					m.unknownTaggedFields().add(new RawTaggedField(Integer.parseInt(t.getKey()),
						HEX.parseHex(t.getValue().asText())));
				continue;
			}
			Field f = m.getClass().getDeclaredField(e.getKey());
			if (!inVersion(m.getClass(), e.getKey(), version))
				continue;
			f.setAccessible(true);
			f.set(m, read(e.getValue(), f.getType(), f, version));
		}
	}

	static JsonNode dump(Object v, short version) throws Exception {
		JsonNodeFactory json = JsonNodeFactory.instance;
		if (v == null) return json.nullNode();
		if (v instanceof Collection<?> all) {
			ArrayNode a = json.arrayNode();
			for (Object e : all)
				a.add(dump(e, version));
			return a;
		}
		if (v instanceof String s) return json.textNode(s);
		if (v instanceof Boolean b) return json.booleanNode(b);
		if (v instanceof Byte || v instanceof Short || v instanceof Integer) return json.numberNode(((Number) v).intValue());
		if (v instanceof Long l) return json.numberNode(l);
		if (v instanceof Double d) return json.numberNode(d);
		if (v instanceof Uuid u) return json.textNode(u.toString());
		if (v instanceof byte[] b) return json.textNode(HEX.formatHex(b));
		if (v instanceof ByteBuffer b) return bytes(b);
		if (v instanceof MemoryRecords r) return bytes(r.buffer());
		if (!(v instanceof Message)) throw new Exception("cannot print " + v.getClass());
		ObjectNode o = json.objectNode();
		for (Field f : v.getClass().getDeclaredFields()) {
			if (Modifier.isStatic(f.getModifiers()) || !inVersion(v.getClass(), f.getName(), version))
				continue;
			f.setAccessible(true);
			o.set(f.getName(), dump(f.get(v), version));
		}
		tags(o, (Message) v);
		return o;
	}

	static JsonNode bytes(ByteBuffer b) {
		byte[] raw = new byte[b.remaining()];
		b.duplicate().get(raw);
		return JsonNodeFactory.instance.textNode(HEX.formatHex(raw));
	}

	static void tags(ObjectNode o, Message m) {
		for (RawTaggedField t : m.unknownTaggedFields())
			o.put("_tag" + t.tag(), HEX.formatHex(t.data()));
	}

	static String encode(String[] a) throws Exception {
		short key = Short.parseShort(a[1]), version = Short.parseShort(a[2]);
		ApiMessageType type = ApiMessageType.fromApiKey(key);
		ApiMessage body = type.newRequest();
		JsonNode json = JSON.readTree(a[4]);
		short headerVersion = type.requestHeaderVersion(version);
		RequestHeaderData header = new RequestHeaderData().setRequestApiKey(key).setRequestApiVersion(version)
			.setCorrelationId(Integer.parseInt(a[3])).setClientId("kafka-diff");
		if (json.has("_header")) {
			fill(header, json.get("_header"), headerVersion);
			((ObjectNode) json).remove("_header");
		}
		fill(body, json, version);
		return HEX.formatHex(array(MessageUtil.toByteBufferAccessor(header, headerVersion).buffer())) +
			HEX.formatHex(array(MessageUtil.toByteBufferAccessor(body, version).buffer()));
	}

	static byte[] array(ByteBuffer b) {
		byte[] raw = new byte[b.remaining()];
		b.get(raw);
		return raw;
	}

	static String decode(String[] a) throws Exception {
		short key = Short.parseShort(a[1]), version = Short.parseShort(a[2]);
		ApiMessageType type = ApiMessageType.fromApiKey(key);
		ByteBufferAccessor in = new ByteBufferAccessor(ByteBuffer.wrap(HEX.parseHex(a[3])));
		short headerVersion = type.responseHeaderVersion(version);
		ResponseHeaderData header = new ResponseHeaderData(in, headerVersion);
		ApiMessage body = type.newResponse();
		body.read(in, version);
		ObjectNode o = JsonNodeFactory.instance.objectNode();
		o.set("header", dump(header, headerVersion));
		o.set("body", dump(body, version));
		o.put("bytesBehind", in.remaining());
		return JSON.writeValueAsString(o);
	}

	static String batch(JsonNode n) throws Exception {
		byte magic = (byte) n.path("magic").asInt(2);
		long now = n.path("timestamp").asLong(1700000000000L);
		boolean appendTime = n.path("logAppendTime").asBoolean(false);
		MemoryRecordsBuilder b = new MemoryRecordsBuilder(
			new org.apache.kafka.common.utils.internals.ByteBufferOutputStream(1024), magic,
			Compression.of(CompressionType.forName(n.path("codec").asText("none"))).build(),
			appendTime ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME,
			n.path("baseOffset").asLong(0), now, n.path("producerId").asLong(-1),
			(short) n.path("producerEpoch").asInt(-1), n.path("sequence").asInt(-1),
			n.path("transactional").asBoolean(false), false, n.path("leaderEpoch").asInt(-1), 1 << 27);
		for (JsonNode r : n.path("records")) {
			ArrayList<Header> headers = new ArrayList<>();
			for (JsonNode h : r.path("headers"))
				headers.add(new RecordHeader(h.get(0).asText(), text(h.get(1))));
			b.append(r.path("timestamp").asLong(now), text(r.path("key")), text(r.path("value")),
				headers.toArray(new Header[0]));
		}
		return bytes(b.build().buffer()).asText();
	}

	static String batches(String hex) throws Exception {
		ArrayNode all = JsonNodeFactory.instance.arrayNode();
		for (RecordBatch b : MemoryRecords.readableRecords(ByteBuffer.wrap(HEX.parseHex(hex))).batches()) {
			ObjectNode o = all.addObject();
			o.put("baseOffset", b.baseOffset()).put("lastOffset", b.lastOffset()).put("magic", b.magic())
				.put("leaderEpoch", b.partitionLeaderEpoch()).put("codec", b.compressionType().name)
				.put("timestampType", b.timestampType().name).put("maxTimestamp", b.maxTimestamp())
				.put("producerIdOfBatch", b.producerId()).put("producerEpoch", b.producerEpoch())
				.put("baseSequence", b.baseSequence()).put("transactional", b.isTransactional())
				.put("control", b.isControlBatch()).put("valid", valid(b));
			ArrayNode records = o.putArray("records");
			for (Record r : b) {
				ObjectNode e = records.addObject();
				e.put("offset", r.offset()).put("recordTimestamp", r.timestamp());
				e.set("recordKey", r.key() == null ? null : bytes(r.key()));
				e.set("value", r.value() == null ? null : bytes(r.value()));
				ArrayNode headers = e.putArray("headers");
				for (Header h : r.headers())
					headers.add(h.key()).add(h.value() == null ? null : HEX.formatHex(h.value()));
			}
		}
		return JSON.writeValueAsString(all);
	}

	static boolean valid(RecordBatch b) {
		try {
			b.ensureValid();
			return true;
		} catch (RuntimeException e) {
			return false;
		}
	}

	static byte[] text(JsonNode n) {
		return n.isNull() || n.isMissingNode() ? null : n.asText().getBytes(StandardCharsets.UTF_8);
	}

	static String apis() throws Exception {
		ArrayNode all = JsonNodeFactory.instance.arrayNode();
		for (ApiMessageType t : ApiMessageType.values())
			all.add(JsonNodeFactory.instance.arrayNode().add(t.apiKey()).add(t.name)
				.add(t.lowestSupportedVersion()).add(t.highestSupportedVersion(false)));
		return JSON.writeValueAsString(all);
	}

	public static void main(String[] args) throws Exception {
		BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
		PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
		for (String line; (line = in.readLine()) != null; ) {
			String answer;
			try {
				String[] a = line.split(" ", 5);
				answer = "ok " + switch (a[0]) {
					case "enc" -> encode(a);
					case "dec" -> decode(a);
					case "batch" -> batch(JSON.readTree(line.substring(6)));
					case "batches" -> batches(a[1]);
					case "apis" -> apis();
					default -> throw new Exception("no command " + a[0]);
				};
			} catch (Throwable e) {
				answer = "err " + (e + "").replace('\n', ' ');
			}
			out.println(answer);
			out.flush();
		}
	}
}
