import java.io.*; import java.util.*;
import org.apache.jute.*; import org.apache.jute.Record; import org.apache.zookeeper.proto.*; import org.apache.zookeeper.data.*; import org.apache.zookeeper.*;
/* Prints golden bytes of ZooKeeper requests by ZooKeeper's own classes (Debian: zookeeper-jute.jar). */
public class ZkVectors {
  static void out(String name, int v, Record r, String text) throws Exception {
    ByteArrayOutputStream o = new ByteArrayOutputStream(); r.serialize(BinaryOutputArchive.getArchive(o), "x");
    StringBuilder h = new StringBuilder(); for (byte b : o.toByteArray()) h.append(String.format("%02x", b));
    System.out.println(name + " " + v + " " + h + " " + text);
  }
  public static void main(String[] a) throws Exception {
    byte[] pw = new byte[16]; for (int i = 0; i < 16; i++) pw[i] = (byte)(i * 17);
    // the read-only byte of ConnectRequest and ConnectResponse is written apart in 3.8: raw records
    out("ZkConnectRequest", 0, new ConnectRequest(0, 0x123456789aL, 40000, -2L, pw), "{protocol_version=0 last_zxid_seen=78187493530 timeout_ms=40000 session_id=-2 password=***}");
    out("ZkConnectResponse", 0, new ConnectResponse(0, 30000, 0x0100000000000001L, pw), "{protocol_version=0 timeout_ms=30000 session_id=72057594037927937 password=***}");
    Record ro = new Record() { public void serialize(OutputArchive o, String t) throws IOException { new ConnectRequest(0, 5L, 1, 0L, null).serialize(o, t); o.writeBool(true, "readOnly"); } public void deserialize(InputArchive i, String t) {} };
    out("ZkConnectRequest", 1, ro, "{protocol_version=0 last_zxid_seen=5 timeout_ms=1 session_id=0 password=*** read_only=true}");
    Record rs = new Record() { public void serialize(OutputArchive o, String t) throws IOException { new ConnectResponse(0, 0, 0L, new byte[16]).serialize(o, t); o.writeBool(false, "readOnly"); } public void deserialize(InputArchive i, String t) {} };
    out("ZkConnectResponse", 1, rs, "{protocol_version=0 timeout_ms=0 session_id=0 password=*** read_only=false}");
    out("ZkRequestHeader", 0, new RequestHeader(-8, 105), "{xid=-8 type=105}");
    out("ZkReplyHeader", 0, new ReplyHeader(7, -1L, -101), "{xid=7 zxid=-1 err=-101}");
    out("ZkMultiHeader", 0, new MultiHeader(-1, true, -1), "{type=-1 done=true err=-1}");
    out("ZkMultiHeader", 0, new MultiHeader(14, false, 0), "{type=14 done=false err=0}");
    out("ZkAuthPacket", 0, new AuthPacket(0, "digest", "bob:pw".getBytes()), "{type=0 scheme=\"digest\" auth=***}");
    out("ZkSaslRequest", 0, new GetSASLRequest(new byte[0]), "{token=***}");
    List<ACL> acl = new ArrayList<>(); acl.add(new ACL(31, new Id("world", "anyone"))); acl.add(new ACL(1, new Id(null, "")));
    out("ZkCreateRequest", 0, new CreateRequest("/a/\u00e9", null, acl, 3), "{path=\"/a/\u00e9\" data=null acl=[{perms=31 scheme=\"world\" id=\"anyone\"} {perms=1 scheme=null id=\"\"}] flags=3}");
    out("ZkCreateRequest", 1, new CreateTTLRequest("/t", "xyz".getBytes(), null, 5, 100000L), "{path=\"/t\" data=<3 bytes 78797a> acl=null flags=5 ttl_ms=100000}");
    out("ZkDeleteRequest", 0, new DeleteRequest("/d", -1), "{path=\"/d\" version=-1}");
    out("ZkDeleteRequest", 0, new CheckVersionRequest(null, 77), "{path=null version=77}");
    out("ZkSetDataRequest", 0, new SetDataRequest("/s", new byte[0], 2147483647), "{path=\"/s\" data=<0 bytes> version=2147483647}");
    out("ZkSetAclRequest", 0, new SetACLRequest("/s", acl, 0), "{path=\"/s\" acl=[{perms=31 scheme=\"world\" id=\"anyone\"} {perms=1 scheme=null id=\"\"}] version=0}");
    out("ZkPathRequest", 0, new SyncRequest("/"), "{path=\"/\"}");
    out("ZkPathRequest", 0, new GetEphemeralsRequest(""), "{path=\"\"}");
    out("ZkPathWatchRequest", 0, new GetChildren2Request("/c", true), "{path=\"/c\" watch=true}");
    out("ZkPathModeRequest", 0, new AddWatchRequest("/w", 1), "{path=\"/w\" mode=1}");
    out("ZkPathModeRequest", 0, new RemoveWatchesRequest("/w", 3), "{path=\"/w\" mode=3}");
    List<String> l = Arrays.asList("/a", null, ""), e = Collections.emptyList();
    out("ZkSetWatches", 0, new SetWatches(9L, l, e, null), "{relative_zxid=9 data=[\"/a\" null \"\"] exist=[] child=null}");
    out("ZkSetWatches", 1, new SetWatches2(-1L, e, e, e, l, l), "{relative_zxid=-1 data=[] exist=[] child=[] persistent=[\"/a\" null \"\"] recursive=[\"/a\" null \"\"]}");
    out("ZkReconfigRequest", 0, new ReconfigRequest("server.1=h:1:2;3", "2", null, -1L), "{joining=\"server.1=h:1:2;3\" leaving=\"2\" members=null config_id=-1}");
    out("ZkWatcherEvent", 0, new WatcherEvent(4, 3, "/p"), "{type=4 state=3 path=\"/p\"}");
  }
}
