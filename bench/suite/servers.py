"""The servers that are measured: tidegate, the limits, and their peers from packages, each with its configuration."""
import json
import os
import re
import resource
import shutil
import subprocess

from .processes import certificate, Failure, free_port, Group, Process

BENCH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MANY = 100000000
BATCH_MAX = 10000  # connections that one call may name
DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "execute-api:*", "Resource": "*"}]}
TWO_WAY = {"routeResponseSelectionExpression": "$default", "routeResponses": [{"routeResponseKey": "$default"}]}


class Server:
    """A kind of server. `options` change its configuration, `load` the load generator's command line."""

    name = None
    programs = []  # what must be installed
    load = []
    counts_allocations = True
    seconds_to_start = 0.5  # and to stop, about: for the estimate

    def __init__(self, label=None, load=None, **options):
        self.label = label or self.name
        self.options = options
        self.more_load = load or []

    def missing(self, suite):
        """Why it cannot be measured here, or None."""
        for program in self.programs:
            if shutil.which(program) is None and not os.path.exists(f"/usr/sbin/{program}"):
                return f"{program} is not installed"
        return None

    def version(self, suite):
        return ""

    def files(self, folder, port, second_port, backend):
        """Names and contents of configuration files."""
        return {}

    def command(self, suite, folder, port, second_port, backend):
        raise NotImplementedError

    def environment(self, folder):
        return {}

    def is_ready(self, process, port, second_port):
        return process.listens(port)

    def start(self, suite, folder, backend, cores, environment=None):
        port, second_port = free_port(), free_port()
        for name, content in self.files(folder, port, second_port, backend).items():
            with open(os.path.join(folder, name), "w") as out:
                out.write(content)
        process = Process(self.command(suite, folder, port, second_port, backend), cores,
                          os.path.join(folder, f"{self.name}.log"), {**self.environment(folder), **(environment or {})},
                          folder)
        try:
            process.wait_until(lambda: self.is_ready(process, port, second_port))
        except BaseException:
            process.stop()
            raise
        return process, port, second_port

    def tls(self):
        """The paths of certificate and key, or None."""
        return certificate() if self.options.get("tls") else None

    def load_arguments(self, kind, port, second_port):
        return ["--port", str(port), *self.load, *(["--tls"] if self.options.get("tls") else []), *self.more_load]


def first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        return (done.stdout + done.stderr).strip().split("\n")[0]
    except OSError:
        return ""


def mock(name, template):
    return {"integrationId": name, "integrationType": "MOCK", "templateSelectionExpression": "\\$default",
            "requestTemplates": {"$default": '{"statusCode": 200}'},
            "integrationResponses": [{"integrationResponseKey": "$default", "templateSelectionExpression": "\\$default",
                                      "responseTemplates": {"$default": template}}]}


class Tidegate(Server):
    """Options: auth, connect ($connect asks the back end), workers, routes, credentials, policies (for each of them), padding
    (KB), http (an HTTP API), tls, batch (one call names many connections)."""

    name = "tidegate"
    seconds_to_start = 0.2

    def version(self, suite):
        return first_line(suite.program("tidegate"), "version")

    def missing(self, suite):
        if not any(self.options.get(name) for name in ("http", "tls", "policies", "batch")):
            return None
        with suite.folder() as folder:
            for name, content in self.files(folder, 1, 2, 3).items():
                with open(os.path.join(folder, name), "w") as out:
                    out.write(content)
            done = subprocess.run([suite.program("tidegate"), "check", os.path.join(folder, "tidegate.json")],
                                  capture_output=True, text=True, check=False)
        return None if done.returncode == 0 else f"this gateway does not take it: {(done.stdout + done.stderr).strip()[-200:]}"

    def api(self, backend):
        proxy = {"integrationType": "HTTP_PROXY", "integrationUri": f"http://127.0.0.1:{backend}"}
        if self.options.get("http"):
            return {"apiId": "bench", "name": "bench", "protocolType": "HTTP",
                    "integrations": [{**proxy, "integrationId": "app", "integrationMethod": "ANY",
                                      "payloadFormatVersion": "1.0",
                                      "integrationUri": f"http://127.0.0.1:{backend}/{{proxy}}"}],
                    "routes": [{"routeKey": "ANY /{proxy+}", "target": "integrations/app"}],
                    "stages": [{"stageName": "$default"}]}
        app = {**proxy, "integrationId": "app", "integrationMethod": "POST",
               "requestParameters": {"integration.request.header.connectionId": "context.connectionId"}}
        api = {"apiId": "bench", "name": "bench", "protocolType": "WEBSOCKET",
               "routeSelectionExpression": "$request.body.action",
               "integrations": [mock("echo", "$input.body"), mock("id", "$context.connectionId"), app],
               "routes": [{"routeKey": "e", "target": f"integrations/{self.options.get('route', 'echo')}", **TWO_WAY},
                          {"routeKey": "id", "target": "integrations/id", **TWO_WAY}],
               "stages": [{"stageName": "prod"}]}
        if self.options.get("connect"):
            api["routes"].append({"routeKey": "$connect", "target": "integrations/app"})
        api["routes"] += [{"routeKey": f"route{i}", "target": "integrations/echo", **TWO_WAY}
                          for i in range(self.options.get("routes", 0))]
        api["integrations"] += [mock(f"padding{i}", "x" * 1000) for i in range(self.options.get("padding", 0))]
        return api

    def listener(self, port):
        tls = {"tls": {"certificates": [dict(zip(("certificate", "privateKey"), self.tls()))]}} if self.tls() else {}
        return {"address": f"127.0.0.1:{port}", **tls}

    def files(self, folder, port, second_port, backend):
        return {"tidegate.json": json.dumps({
            "listeners": [self.listener(port)], "workers": self.options.get("workers", 1),
            "management": {"auth": self.options.get("auth", "none"),
                           **({"batchMaxConnections": BATCH_MAX} if self.options.get("batch") else {})},
            "drain": {"closesPerSecond": 0, "deadlineSeconds": 2},
            "throttling": {"rateLimit": MANY, "burstLimit": MANY, "connectionRateLimit": MANY,
                           "connectionBurstLimit": MANY},
            "credentials": [{"accessKeyId": KEY, "secretAccessKey": SECRET, "policy": ALLOW}] +
                           [{"accessKeyId": f"AKIDMORE{i:06}", "secretAccessKey": f"secret{i}",
                             **({"policy": ALLOW} if self.options.get("policies") else {})}
                            for i in range(self.options.get("credentials", 0))],
            "apis": [self.api(backend)], **self.more()})}

    def more(self):
        """Of the configuration."""
        return {}

    def command(self, suite, folder, port, second_port, backend):
        return [suite.program("tidegate"), "serve", "--config", os.path.join(folder, "tidegate.json")]

    def is_ready(self, process, port, second_port):
        return "tidegate is ready" in process.logged()

    def load_arguments(self, kind, port, second_port):
        signed = ["--access-key", KEY, "--secret", SECRET] if self.options.get("auth") == "sigv4" else []
        return [*super().load_arguments(kind, port, second_port), *signed]


class TidegateNodes(Tidegate):
    """Two nodes and their Redis. Publishers are at node A, clients at node B (option cross) or at A as well."""

    programs = ["redis-server"]
    seconds_to_start = 1.2

    def missing(self, suite):
        return Server.missing(self, suite)

    def version(self, suite):
        return " ".join(first_line("redis-server", "--version").split()[:3])

    def more(self):
        return {"registry": {"type": "redis", "url": f"redis://127.0.0.1:{self.redis_port}/0", "cluster": "bench"}}

    def start(self, suite, folder, backend, cores, environment=None):
        group, self.redis_port = Group(), free_port()
        ports = [free_port(), free_port()]
        try:
            redis = group.add(Process(["redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", "",
                                       "--appendonly", "no", "--dir", folder], cores, os.path.join(folder, "redis.log")))
            redis.wait_until(lambda: redis.listens(self.redis_port))
            for name, port in zip("ab", ports):
                place = os.path.join(folder, name)
                os.mkdir(place)
                with open(os.path.join(place, "tidegate.json"), "w") as out:
                    out.write(self.files(place, port, None, backend)["tidegate.json"])
                node = group.add(Process(self.command(suite, place, port, None, backend), cores,
                                         os.path.join(place, "tidegate.log"), environment))
                node.wait_until(lambda node=node, port=port: self.is_ready(node, port, None))
        except BaseException:
            group.stop()
            raise
        return group, ports[1 if self.options.get("cross") else 0], ports[0]

    def load_arguments(self, kind, port, second_port):
        return [*super().load_arguments(kind, port, second_port), "--publish-port", str(second_port),
                "--redis-port", str(self.redis_port)]


class Limit(Server):
    """The least that a WebSocket server must do: bench/limit.c. Options: connect, app (messages go to the back end), tls."""

    name = "limit"
    seconds_to_start = 0.2

    def command(self, suite, folder, port, second_port, backend):
        command = [suite.program("bench/bench_limit"), str(port), str(backend)]
        mode = "connect" if self.options.get("connect") else "app" if self.options.get("app") else "echo"
        return [*command, mode, *(self.tls() or [])]


class LimitProxy(Server):
    """The least that an HTTP proxy must do: bench/limit_proxy.c."""

    name = "limit"

    def command(self, suite, folder, port, second_port, backend):
        return [suite.program("bench/bench_limit_proxy"), str(port), str(backend)]


class Nginx(Server):
    """nginx: with nchan (also tls), or as a proxy (option proxy)."""

    name = "nginx"
    programs = ["nginx"]
    NCHAN = "/usr/lib/nginx/modules/ngx_nchan_module.so"

    def missing(self, suite):
        if not self.options.get("proxy") and not os.path.exists(self.NCHAN):
            return "libnginx-mod-nchan is not installed"
        return super().missing(suite)

    def version(self, suite):
        return first_line("/usr/sbin/nginx", "-v")

    def files(self, folder, port, second_port, backend):
        if self.options.get("proxy"):
            module, body = "", f"""
  upstream app {{ server 127.0.0.1:{backend}; keepalive 64; keepalive_requests {MANY}; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}"""
        else:
            ssl, tls = "", ""
            if self.tls():
                ssl = " ssl"
                tls = (f"ssl_certificate {self.tls()[0]}; ssl_certificate_key {self.tls()[1]}; ssl_protocols TLSv1.3; "
                       "ssl_session_tickets on; ssl_buffer_size 16k;")
            module, body = f"load_module {self.NCHAN};", f"""
  server {{
    listen 127.0.0.1:{port}{ssl} backlog=4096; {tls}
    location /echo {{ nchan_pubsub websocket; nchan_channel_id $arg_id; nchan_message_buffer_length 1; }}
    location /sub {{ nchan_subscriber websocket; nchan_channel_id $arg_id; nchan_message_buffer_length 1;
                     nchan_subscriber_first_message newest; }}
    location /pub {{ nchan_publisher; nchan_channel_id $arg_id; nchan_message_buffer_length 1; }}
  }}"""
        return {"nginx.conf": f"""{module}
daemon off;
worker_processes 1;
worker_rlimit_nofile {DESCRIPTORS};
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log crit;
events {{ worker_connections {DESCRIPTORS}; }}
http {{
  access_log off;
  keepalive_requests {MANY};
  keepalive_timeout 600;
  client_body_buffer_size 64k;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;{body}
}}
"""}

    def command(self, suite, folder, port, second_port, backend):
        return ["/usr/sbin/nginx", "-p", folder, "-c", os.path.join(folder, "nginx.conf"), "-e", f"{folder}/start.log"]

    def is_ready(self, process, port, second_port):
        return process.listens(port) and len(process.pids()) > 1  # the worker

    def load_arguments(self, kind, port, second_port):
        if self.options.get("proxy"):
            return super().load_arguments(kind, port, second_port)
        path = "/echo?id=" if kind == "echo" else "/sub?id="
        return [*super().load_arguments(kind, port, second_port), "--dialect", "nchan", "--path", path, "--numbered"]


class Haproxy(Server):
    name = "haproxy"
    programs = ["haproxy"]

    def version(self, suite):
        return first_line("/usr/sbin/haproxy", "-v")

    def files(self, folder, port, second_port, backend):
        return {"haproxy.cfg": f"""global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout client 600s
  timeout server 600s
  timeout connect 5s
  http-reuse always
frontend front
  bind 127.0.0.1:{port} backlog 4096
  default_backend app
backend app
  server app 127.0.0.1:{backend}
"""}

    def command(self, suite, folder, port, second_port, backend):
        return ["/usr/sbin/haproxy", "-db", "-f", os.path.join(folder, "haproxy.cfg")]


class Mosquitto(Server):
    """MQTT over WebSocket; publishers over TCP. QoS 0: a publish has no answer."""

    name = "mosquitto"
    programs = ["mosquitto"]

    def version(self, suite):
        return first_line("/usr/sbin/mosquitto", "-h")

    def files(self, folder, port, second_port, backend):
        return {"mosquitto.conf": f"""per_listener_settings false
allow_anonymous true
log_type error
persistence false
set_tcp_nodelay true
max_queued_messages 100000
listener {port} 127.0.0.1
protocol websockets
listener {second_port} 127.0.0.1
"""}

    def command(self, suite, folder, port, second_port, backend):
        return ["/usr/sbin/mosquitto", "-c", os.path.join(folder, "mosquitto.conf")]

    def load_arguments(self, kind, port, second_port):
        return ["--port", str(port), "--publish-port", str(second_port), "--dialect", "mqtt", "--path", "/mqtt",
                *self.more_load]


class NodeWs(Server):
    """npm's ws, with a server of some 50 lines. Options: app, tls."""

    name = "ws"
    seconds_to_start = 0.7
    programs = ["node"]
    counts_allocations = False  # its heap is its own

    def missing(self, suite):
        if not os.path.isdir(os.path.join(BENCH, "peers/ws/node_modules/ws")):
            return "npm's ws is not installed: npm ci in bench/peers/ws"
        return super().missing(suite)

    def version(self, suite):
        with open(os.path.join(BENCH, "peers/ws/node_modules/ws/package.json")) as file:
            return f"ws {json.load(file)['version']}, node {first_line('node', '--version')}"

    def command(self, suite, folder, port, second_port, backend):
        mode = "app" if self.options.get("app") else "echo"
        return ["node", os.path.join(BENCH, "peers/ws/server.js"), str(port), str(backend), mode, *(self.tls() or [])]

    def is_ready(self, process, port, second_port):
        return "ready" in process.logged()


class Pushpin(Server):
    """Messages go to a back end as WebSocket over HTTP. Published to by HTTP, which it closes after each, or (option zmq) ZeroMQ."""

    name = "pushpin"
    programs = ["pushpin", "condure"]
    seconds_to_start = 3.5

    def version(self, suite):
        return first_line("pushpin", "--version")

    def files(self, folder, port, second_port, backend):
        with open("/etc/pushpin/pushpin.conf") as lines:
            text = lines.read()
        changes = {"rundir": f"{folder}/run", "ipc_prefix": f"bench{port}-", "http_port": f"127.0.0.1:{port}",
                   "logdir": folder, "log_level": "1",
                   "push_in_http_port": str(free_port() if self.options.get("zmq") else second_port),
                   "push_in_spec": f"tcp://127.0.0.1:{second_port if self.options.get('zmq') else free_port()}",
                   "push_in_sub_specs": f"ipc://{folder}/push-sub",
                   "command_spec": f"ipc://{folder}/command", "message_rate": str(MANY), "message_hwm": str(MANY),
                   "stats_spec": f"ipc://{folder}/stats", "push_in_sub_spec": f"ipc://{folder}/push-sub",
                   "push_in_http_addr": "127.0.0.1", "routesfile": f"{folder}/routes", "client_maxconn": "19000"}
        for name, value in changes.items():
            text = re.sub(rf"(?m)^{name}=.*$", lambda _, n=name, v=value: f"{n}={v}", text)
        # Debian's zurl is a service of its own; here it is one of the runner's.
        where = f"ipc://{folder}/run/bench{port}-zurl"
        zurl = f"zurl_out_specs={where}-in\nzurl_out_stream_specs={where}-in-stream\nzurl_in_specs={where}-out\n"
        text = text.replace("services=condure,", "services=condure,zurl,").replace("[proxy]\n", f"[proxy]\n{zurl}", 1)
        return {"pushpin.conf": text, "routes": f"* 127.0.0.1:{backend},over_http\n"}

    def command(self, suite, folder, port, second_port, backend):
        os.makedirs(os.path.join(folder, "run"), exist_ok=True)
        return ["pushpin", f"--config={folder}/pushpin.conf"]

    def is_ready(self, process, port, second_port):
        return process.listens(port) and process.listens(second_port)

    def load_arguments(self, kind, port, second_port):
        common = ["--port", str(port), "--publish-port", str(second_port), "--dialect", "pushpin",
                  "--at-a-time", "16", *self.more_load]
        if kind == "push":  # it subscribes a client after it has let it in
            how = "--zmtp" if self.options.get("zmq") else "--reconnect"
            return [*common, "--path", "/ws?id=", "--numbered", "--settle", "1", how]
        return [*common, "--path", "/ws"]
