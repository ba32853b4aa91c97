// `java Paths KIND`: an embedded Tomcat or Jetty, with the routes in the environment variable ROUTE_LINES as `NAME PATH` in
// lines, on a port that the system chooses. Each servlet answers `served:` and the route's name.

import java.io.File;
import java.io.IOException;
import java.io.Writer;
import java.nio.file.Files;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.catalina.Context;
import org.apache.catalina.servlets.DefaultServlet;
import org.apache.catalina.startup.Tomcat;
import org.apache.catalina.util.ServerInfo;
import org.eclipse.jetty.server.Connector;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.http.HttpCompliance;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;

public final class Paths {
    private static final Map<String, String> ROUTES = new LinkedHashMap<>();
    private static final String FOLDER = System.getenv("FOLDER");

    public static void main(String[] arguments) throws Exception {
        for (String line : System.getenv("ROUTE_LINES").split("\n")) {
            String[] route = line.split(" ");
            // Servlets have no parameters: a route with one takes all below it.
            ROUTES.put(route[0], route[1].replaceFirst("\\{.*", "*"));
        }
        switch (arguments[0]) {
            case "tomcat" -> tomcat(false);
            case "tomcat-lax" -> tomcat(true);
            case "jetty" -> jetty(HttpCompliance.RFC7230);
            case "jetty-legacy" -> jetty(HttpCompliance.LEGACY);
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    private static String body(String name) {
        return "served:" + name + ";";
    }

    private static void announce(String version, int port) {
        System.out.println("version " + version + "\nlistens on 127.0.0.1:" + port);
    }

    private static void tomcat(boolean lax) throws Exception {
        Tomcat tomcat = new Tomcat();
        File base = Files.createTempDirectory("tomcat").toFile();
        tomcat.setBaseDir(base.getPath());
        tomcat.setPort(0);
        tomcat.setSilent(true);
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        if (lax) {
            tomcat.getConnector().setEncodedSolidusHandling("decode");
            tomcat.getConnector().setAllowBackslash(true);
            tomcat.getConnector().setProperty("relaxedPathChars", "<>[\\]^`{|}\"");
        }
        Context context = tomcat.addContext("", FOLDER);
        Tomcat.addServlet(context, "files", new DefaultServlet());
        context.addServletMappingDecoded("/", "files");
        ROUTES.forEach((name, pattern) -> {
            Tomcat.addServlet(context, name, new TomcatRoute(name));
            context.addServletMappingDecoded(pattern, name);
        });
        tomcat.start();
        announce(ServerInfo.getServerNumber(), tomcat.getConnector().getLocalPort());
        tomcat.getServer().await();
    }

    private static final class TomcatRoute extends jakarta.servlet.http.HttpServlet {
        private final String name;

        TomcatRoute(String name) {
            this.name = name;
        }

        @Override
        protected void doGet(
            jakarta.servlet.http.HttpServletRequest request, jakarta.servlet.http.HttpServletResponse response)
            throws IOException {
            try (Writer writer = response.getWriter()) {
                writer.write(body(name));
            }
        }
    }

    private static void jetty(HttpCompliance compliance) throws Exception {
        Server server = new Server();
        HttpConnectionFactory http = new HttpConnectionFactory(new HttpConfiguration(), compliance);
        ServerConnector connector = new ServerConnector(server, http);
        connector.setHost("127.0.0.1");
        server.setConnectors(new Connector[] {connector});
        ServletContextHandler context = new ServletContextHandler();
        context.setResourceBase(FOLDER);
        context.addServlet(org.eclipse.jetty.servlet.DefaultServlet.class, "/");
        ROUTES.forEach((name, pattern) -> context.addServlet(new ServletHolder(new JettyRoute(name)), pattern));
        server.setHandler(context);
        server.start();
        announce(Server.getVersion(), connector.getLocalPort());
        server.join();
    }

    private static final class JettyRoute extends javax.servlet.http.HttpServlet {
        private final String name;

        JettyRoute(String name) {
            this.name = name;
        }

        @Override
        protected void doGet(
            javax.servlet.http.HttpServletRequest request, javax.servlet.http.HttpServletResponse response)
            throws IOException {
            try (Writer writer = response.getWriter()) {
                writer.write(body(name));
            }
        }
    }
}
