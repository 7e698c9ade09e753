use super::*;

fn degrees(topology: &Topology) -> Vec<usize> {
    topology.neighbors().iter().map(Vec::len).collect()
}

#[test]
fn each_shape_has_its_links() {
    let edges = |shape, nodes| Topology::shaped(shape, nodes).edges();
    assert_eq!(edges(Shape::Line, 3), [(0, 1), (1, 2)]);
    assert_eq!(edges(Shape::Ring, 3), [(0, 1), (1, 2), (2, 0)]);
    assert_eq!(edges(Shape::Ring, 2), [(0, 1)]);
    assert_eq!(edges(Shape::Clique, 3), [(0, 1), (0, 2), (1, 2)]);
    assert_eq!(edges(Shape::Star, 3), [(1, 0), (2, 0)]);
    assert_eq!(edges(Shape::Grid, 5), [(0, 1), (2, 3), (0, 2), (1, 3), (2, 4)]);
    let wide = Topology { columns: 3, ..Topology::shaped(Shape::Grid, 6) };
    assert_eq!(wide.edges(), [(0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5)]);
}

#[test]
fn chords_give_every_node_as_many_links() {
    assert!(degrees(&Topology::ring_chords(24, 2)).iter().all(|degree| *degree == 6));
    assert!(degrees(&Topology::ring_chords(1_000, 1)).iter().all(|degree| *degree == 4));
    // Small rings have no room for them, and no link twice.
    assert_eq!(Topology::ring_chords(3, 2).edges().len(), 3);
}

#[test]
fn sites_are_numbered_one_after_the_other() {
    let site = |name: &str, nodes, shape| Site { name: name.to_owned(), nodes, shape };
    let sites = vec![site("hall", 3, Shape::Clique), site("boat", 2, Shape::Line)];
    let topology = Topology { sites, bridges: vec![(0, 3)], ..Topology::default() };
    assert_eq!(topology.check().map_err(|e| e.to_string()), Ok(()));
    assert_eq!(topology.edges(), [(0, 1), (0, 2), (1, 2), (3, 4), (0, 3)]);
    assert_eq!((topology.len(), topology.name(2), topology.name(4)), (5, "hall-2".to_owned(), "boat-1".to_owned()));
}

/// Goal: taking a node away leaves its neighbours linked, with the numbers that follow moved up.
#[test]
fn a_ring_without_a_node_is_a_smaller_ring() {
    let smaller = Topology::shaped(Shape::Ring, 5).without(2);
    assert_eq!(smaller.len(), 4);
    assert!(degrees(&smaller).iter().all(|degree| *degree == 2), "{:?}", smaller.edges);
    let link = OneLink { between: (3, 4), is: LinkModel::default() };
    let topology = Topology { links: vec![link], ..Topology::shaped(Shape::Ring, 5) };
    assert_eq!(topology.without(0).links[0].between, (2, 3));
    assert!(topology.without(4).links.is_empty());
}

#[test]
fn a_file_of_edges_names_nodes_and_figures() {
    let text = "# my site\nkitchen hall 0.4\n\nhall shed 12 3 0.01 125000 # radio\nshed kitchen\n";
    let file = edges_of(text).unwrap_or_else(|(line, why)| panic!("line {line}: {why}"));
    assert_eq!(file.names, ["kitchen", "hall", "shed"]);
    assert_eq!(file.edges, [(0, 1), (1, 2), (2, 0)]);
    assert_eq!(file.links.len(), 2);
    let radio = LinkModel { delay_ms: 12.0, jitter_ms: 3.0, loss: 0.01, rate_bytes: Some(125_000), queue_bytes: None };
    assert_eq!(file.links[1].is, radio);
    for (wrong, why) in [("a b x", "delay_ms"), ("a", "two"), ("a b 1 2 0.1 5 6", "too much"), ("a b -3", "delay_ms")] {
        let Err((line, text)) = edges_of(&format!("a b\n{wrong}")) else { panic!("{wrong} was read") };
        assert!(line == 2 && text.contains(why), "{wrong}: {text}");
    }
}

/// Goal: what is said of a link that there is not is refused, not ignored.
#[test]
fn only_links_can_be_described() {
    let with = |between| {
        let links = vec![OneLink { between, is: LinkModel::default() }];
        Topology { links, ..Topology::shaped(Shape::Ring, 5) }.check().map_err(|e| e.to_string())
    };
    assert_eq!(with((4, 0)), Ok(()));
    assert_eq!(with((0, 4)), Ok(()));
    assert!(with((1, 3)).unwrap_err().contains("nodes 1 and 3 are not linked"));
}
