// What a Java consumer of Apicurio's makes of the messages in a stream: their own Avro deserialiser behind a
// JetStream pull consumer, which is all that their NATS module is. Prints one line of JSON for each message, in
// the order of the stream: {"subject": …, "record": …}, or {"subject": …, "error": …} where it can't be read.
//
// Values are shown as the deserialiser gives them: logical types raw, bytes as {"bytes": "hex"}.
//
// Arguments: URL of the NATS server, stream, base URL of the registry, and settings of the deserialiser as
// key=value.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.apicurio.registry.serde.avro.AvroDeserializer;
import io.apicurio.registry.serde.avro.AvroSerdeConfig;
import io.nats.client.Connection;
import io.nats.client.JetStreamSubscription;
import io.nats.client.Message;
import io.nats.client.Nats;
import io.nats.client.PullSubscribeOptions;
import io.nats.client.api.AckPolicy;
import io.nats.client.api.ConsumerConfiguration;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericFixed;
import org.apache.avro.generic.GenericRecord;

public final class Consume {
    private static final JsonNodeFactory JSON = JsonNodeFactory.instance;

    public static void main(String[] args) throws Exception {
        Map<String, Object> settings = new HashMap<>();
        settings.put("apicurio.registry.url", args[2]);
        for (int at = 3; at < args.length; at++) {
            int mark = args[at].indexOf('=');
            settings.put(args[at].substring(0, mark), args[at].substring(mark + 1));
        }
        AvroDeserializer<Object> deserializer = new AvroDeserializer<>();
        deserializer.configure(new AvroSerdeConfig(settings), false);
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        ObjectMapper mapper = new ObjectMapper();
        try (Connection connection = Nats.connect(args[0])) {
            long left = connection.jetStreamManagement().getStreamInfo(args[1]).getStreamState().getMsgCount();
            ConsumerConfiguration consumer =
                    ConsumerConfiguration.builder().ackPolicy(AckPolicy.Explicit).build();
            PullSubscribeOptions options =
                    PullSubscribeOptions.builder().stream(args[1]).configuration(consumer).build();
            JetStreamSubscription subscription = connection.jetStream().subscribe(null, options);
            while (left > 0) {
                List<Message> messages = subscription.fetch((int) Math.min(left, 100), Duration.ofSeconds(20));
                if (messages.isEmpty()) {
                    throw new IllegalStateException(left + " messages of the stream did not come");
                }
                for (Message message : messages) {
                    out.println(mapper.writeValueAsString(read(deserializer, message)));
                    message.ack();
                    left--;
                }
            }
        }
        out.flush();
        // The registry's client leaves threads behind that would keep the process alive.
        System.exit(0);
    }

    private static ObjectNode read(AvroDeserializer<Object> deserializer, Message message) {
        ObjectNode line = JSON.objectNode();
        line.put("subject", message.getSubject());
        try {
            line.set("record", shown(deserializer.deserializeData(message.getSubject(), message.getData())));
        } catch (RuntimeException error) {
            line.put("error", error.toString());
        }
        return line;
    }

    private static JsonNode shown(Object value) {
        if (value == null) {
            return JSON.nullNode();
        }
        if (value instanceof GenericRecord record) {
            ObjectNode object = JSON.objectNode();
            for (Schema.Field field : record.getSchema().getFields()) {
                object.set(field.name(), shown(record.get(field.pos())));
            }
            return object;
        }
        if (value instanceof Map<?, ?> map) {
            ObjectNode object = JSON.objectNode();
            map.forEach((key, item) -> object.set(key.toString(), shown(item)));
            return object;
        }
        if (value instanceof Collection<?> items) {
            var array = JSON.arrayNode();
            items.forEach(item -> array.add(shown(item)));
            return array;
        }
        if (value instanceof ByteBuffer buffer) {
            byte[] bytes = new byte[buffer.remaining()];
            buffer.duplicate().get(bytes);
            return hex(bytes);
        }
        if (value instanceof GenericFixed fixed) {
            return hex(fixed.bytes());
        }
        if (value instanceof Boolean bool) {
            return JSON.booleanNode(bool);
        }
        if (value instanceof Long number) {
            return JSON.numberNode(number);
        }
        if (value instanceof Integer number) {
            return JSON.numberNode(number);
        }
        if (value instanceof Double number) {
            return JSON.numberNode(number);
        }
        if (value instanceof Float number) {
            return JSON.numberNode(number);
        }
        // Strings come as Utf8, enums as their symbols.
        return JSON.textNode(value.toString());
    }

    private static JsonNode hex(byte[] bytes) {
        return JSON.objectNode().put("bytes", HexFormat.of().formatHex(bytes));
    }
}
