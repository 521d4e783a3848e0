import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * A client with the HttpClient of Java as it is: it offers HTTP/2 with every request.
 *
 * <pre>java Predict.java URL</pre>
 */
public class Predict {
    private static HttpRequest.Builder to(String url) {
        return HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(30));
    }

    private static void check(int status, String part, HttpResponse<String> answer) {
        if (answer.statusCode() != status || !answer.body().contains(part)) {
            throw new AssertionError("Expected " + status + " and " + part + ". Received: "
                + answer.statusCode() + " " + answer.body());
        }
    }

    public static void main(String[] arguments) throws Exception {
        String model = arguments[0] + "/v1/models/model";
        HttpClient client = HttpClient.newHttpClient();

        HttpRequest predict = to(model + ":predict")
            .POST(BodyPublishers.ofString("{\"instances\": [[1, 2, 3]]}")).build();
        for (int i = 0; i < 3; i++) { // the first one opens a connection, the others find it
            check(200, "[2.0, 4.0, 6.0]", client.send(predict, BodyHandlers.ofString()));
        }
        check(200, "\"AVAILABLE\"", client.send(to(model).build(), BodyHandlers.ofString()));
        check(404, "Could not find any versions of model none",
            client.send(to(arguments[0] + "/v1/models/none").build(), BodyHandlers.ofString()));

        String row = "[1.5, 2.5, 3.5]"; // in more bytes than one packet or buffer has
        String rows = IntStream.range(0, 50_000).mapToObj(i -> row).collect(Collectors.joining(","));
        HttpRequest large = to(model + ":predict")
            .POST(BodyPublishers.ofString("{\"instances\": [" + rows + "]}")).build();
        check(200, "[3.0, 5.0, 7.0]", client.send(large, BodyHandlers.ofString()));
        check(200, "[3.0, 5.0, 7.0]",
            client.send(to(model + ":predict").expectContinue(true)
                .POST(BodyPublishers.ofString("{\"instances\": [" + row + "]}")).build(),
                BodyHandlers.ofString()));

        List<CompletableFuture<HttpResponse<String>>> answers = IntStream.range(0, 100)
            .mapToObj(i -> to(model + ":predict")
                .POST(BodyPublishers.ofString("{\"instances\": [[" + i + ", 0, 0]]}")).build())
            .map(request -> client.sendAsync(request, BodyHandlers.ofString()))
            .collect(Collectors.toList());
        for (int i = 0; i < answers.size(); i++) {
            check(200, "[" + 2.0 * i + ", 0.0, 0.0]", answers.get(i).join());
        }
        check(200, "\"FP32\"", client.send(
            to(arguments[0] + "/v2/models/model").build(), BodyHandlers.ofString()));
    }
}
