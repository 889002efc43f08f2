use super::*;

fn file(tree: &mut Tree, path: &str) -> Result<(), String> {
    let attributes = Attributes::of_root(0o644, 1);
    tree.file(path.as_bytes(), Kind::Link(path.into()), attributes)
}

fn link(tree: &mut Tree, path: &str, target: &str) {
    tree.file(path.as_bytes(), Kind::Link(target.into()), Attributes::of_root(0o777, 0)).expect("free");
}

fn all(tree: &Tree) -> Vec<String> {
    tree.paths().into_iter().map(|(path, _)| shown(&path)).collect()
}

#[test]
fn paths_go_through_links_as_on_a_merged_system() {
    let mut tree = Tree::new(0);
    link(&mut tree, "/bin", "usr/bin");
    link(&mut tree, "/usr/local", "/opt/../opt/local");
    tree.folder(b"./usr/bin/", Attributes::of_root(0o755, 3)).expect("new");
    tree.folder(b"./opt/local", Attributes::of_root(0o755, 3)).expect("new");
    file(&mut tree, "./bin/cat").expect("put");
    file(&mut tree, "/usr/local/x/y").expect("put");
    // A package's own folder of the name does not take the place of the link.
    tree.folder(b"./bin/", Attributes::of_root(0o700, 4)).expect("there");
    let there =
        ["/bin", "/opt", "/opt/local", "/opt/local/x", "/opt/local/x/y", "/usr", "/usr/bin", "/usr/bin/cat"];
    assert_eq!(all(&tree), [&there[..], &["/usr/local"]].concat());
    let bin = tree.node(tree.find(b"/bin", true).expect("a folder"));
    assert_eq!(bin.attributes.mode, 0o755);
}

#[test]
fn nothing_leaves_the_tree() {
    let mut tree = Tree::new(0);
    link(&mut tree, "/out", "../../..");
    link(&mut tree, "/loop", "loop/loop");
    file(&mut tree, "/out/etc/passwd").expect("the root's own");
    assert!(tree.find(b"/etc/passwd", false).is_some());
    assert!(file(&mut tree, "/loop/x").is_err());
    assert_eq!(tree.find(b"/loop", true), None);
    assert!(file(&mut tree, "/..").is_err() && file(&mut tree, "/").is_err());
    assert!(file(&mut tree, &format!("/{}", "n".repeat(256))).is_err());
}

#[test]
fn hard_links_are_one_file_and_folders_stay() {
    let mut tree = Tree::new(0);
    file(&mut tree, "/a/one").expect("put");
    tree.hard_link(b"./b/two", b"./a/one").expect("put");
    assert_eq!(tree.find(b"/a/one", false), tree.find(b"/b/two", false));
    assert!(tree.hard_link(b"/c", b"/nowhere").is_err() && tree.hard_link(b"/c", b"/a").is_err());
    assert!(file(&mut tree, "/a").is_err_and(|why| why.contains("folder")));
    assert!(tree.folder(b"/a/one", Attributes::of_root(0o755, 0)).is_err());
    file(&mut tree, "/a/one").expect("replaced");
    assert_ne!(tree.find(b"/a/one", false), tree.find(b"/b/two", false));
}
