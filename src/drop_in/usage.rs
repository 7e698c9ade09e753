//! What `-h` prints: the flags that are taken, and where the others are explained.

/// The text.
pub const USAGE: &str = "\
Usage: nats-server [flags]

The broker of lattice, alone and without a data folder, in the place of a nats-server. Flags have one dash or two, and
go before what the config file says.

Server:
    -a, --addr, --net HOST     address for clients (default 0.0.0.0)
    -p, --port PORT            port for clients (default 4222); -1 is any free one
    -m, --http_port PORT       answer HTTP for those who watch (default: not); -1 is any free port
    -n, --name, --server_name  name of the server (default: its id)
    -c, --config FILE          config file, in nats-server's format
    -t                         read the config file, say whether it can be used, and end
    -P, --pid FILE             write the process id to a file
    --ports_file_dir FOLDER    write the addresses to nats-server_<pid>.ports in a folder
    -sl, --signal WHAT[=PID]   send reload, reopen, ldm, quit, term or stop to a running server; PID may be a pid file

Log:
    -l, --log FILE             log to a file
    --log_size_limit BYTES     begin a new file after so many bytes
    -T, --logtime=BOOL         lines have a time (default true)
    --logtime_utc              that time is in UTC
    -D, --debug                debugging output
    -V, -VV, --trace           the protocol as it is spoken, on connections that come from then on
    -DV, -DVV                  both
    --max_traced_msg_len BYTES so much of each message at most

Clients:
    --user NAME --pass WORD    who may connect
    --auth TOKEN               what everybody who connects must show

TLS:
    --tls                      encrypt the connections of clients; needs the two that follow
    --tlscert FILE             certificate of the server, in PEM
    --tlskey FILE              its private key, in PEM
    --tlsverify                ask clients for a certificate
    --tlscacert FILE           who signs these
    -ms, --https_port PORT     as -m, by HTTPS

Cluster, by links of a lattice instead of routes: to servers of this kind, and not to a real nats-server
    --cluster, --cluster_listen URL   where the other servers connect, as nats://user:password@host:6222
    --routes URL,URL                  servers to connect to; they tell of others
    --cluster_name NAME               what clients are told
    --cluster_advertise HOST:PORT     where the other servers are told that this one is
    --no_advertise                    tell clients of no other server

Other:
    -h, --help                 this text
    -v, --version              the release of nats-server that clients take this for

What nats-server has besides these is refused by name, with what to do instead.
";
