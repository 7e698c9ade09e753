use super::*;

fn parse(args: &[&str]) -> (Cli, ArgMatches) {
    let args = std::iter::once(&"lattice").chain(args);
    let matches = Cli::command().try_get_matches_from(args).unwrap();
    (Cli::from_arg_matches(&matches).unwrap(), matches)
}

fn refused(args: &[&str]) -> clap::Error {
    Cli::command().try_get_matches_from(std::iter::once(&"lattice").chain(args)).unwrap_err()
}

#[test]
fn the_commands_are_sound() {
    Cli::command().debug_assert();
}

#[test]
fn flags_reach_the_config_and_know_their_name() {
    let line = ["up", "--listen", "127.0.0.1:0", "--link-listen", "127.0.0.1:7", "--data", "/d", "--name", "a"];
    let more = ["--peer", "h:1", "--peer", "i:2", "--upstream", "nats://hub", "--join", "lat1:x", "--log", "warn"];
    let (cli, matches) = parse(&[&line[..], &more[..]].concat());
    let Some(Command::Up(args)) = cli.command else { panic!("{cli:?}") };
    let config = args.config(matches.subcommand().unwrap().1).unwrap();
    assert_eq!((config.listen.port(), config.link.listen.port(), config.name.as_str()), (0, 7, "a"));
    assert_eq!((config.data.to_str().unwrap(), config.log.as_str()), ("/d", "warn"));
    assert_eq!(config.link.peers, ["h:1", "i:2"]);
    assert_eq!(config.upstream.unwrap().url.host_port(), "hub:7422");
    assert_eq!(config.join.unwrap().0, "lat1:x");

    let (cli, matches) = parse(&["up", "--data", "/d", "--link-listen", "here"]);
    let Some(Command::Up(args)) = cli.command else { panic!("{cli:?}") };
    let error = args.config(matches.subcommand().unwrap().1).unwrap_err();
    assert!(error.to_string().contains("(from the flag --link-listen)"), "{error}");
    assert_eq!(error.exit(), EXIT_USAGE);
}

#[test]
fn slips_get_a_suggestion_and_exit_code_2() {
    let error = refused(&["stat"]);
    assert!(error.to_string().contains("status"), "{error}");
    assert_eq!(error.exit_code(), i32::from(EXIT_USAGE));
    assert!(refused(&["up", "--lisen", "x"]).to_string().contains("--listen"));
    assert!(refused(&["invite", "--expires", "soon"]).to_string().contains("is no length of time"));
    assert!(refused(&["invite", "--uses", "1001"]).to_string().contains("1001 is not in 1..=1000"));
    assert_eq!(refused(&["reply", "a", "b", "--echo"]).exit_code(), 2);
}

#[test]
fn errors_have_a_cause_and_a_next_step() {
    let in_use = std::io::Error::from(std::io::ErrorKind::AddrInUse);
    let error = CliError::cannot_listen("NATS clients", "127.0.0.1:4222".parse().unwrap(), "--listen", &in_use);
    let expected = [
        "error: cannot listen for NATS clients on 127.0.0.1:4222: address in use",
        "  likely: another node or another program has this port",
        "  try:    --listen 127.0.0.1:4223",
    ];
    assert_eq!(error.lines(), expected);
    let closed = CliError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    assert_eq!((closed.lines().len(), closed.exit()), (0, EXIT_OK));
}

#[test]
fn payloads_may_begin_with_a_dash_after_two() {
    let (cli, _) = parse(&["pub", "a", "--count", "3", "-H", "x:y", "--", "-1"]);
    assert!(matches!(cli.command, Some(Command::Pub(_))), "{cli:?}");
}
