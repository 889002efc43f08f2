use super::*;

#[test]
fn lines_of_a_simulation_are_packages() {
    let of = |line| planned(line).map(|it: Package| (it.file_name(), it.exact()));
    let pair = |one: &str, other: &str| Some((one.to_string(), other.to_string()));
    assert_eq!(
        of("Inst libc6 (2.36-9 Debian:12.1/stable, Security:12/stable [amd64]) []"),
        pair("libc6_2.36-9_amd64.deb", "libc6:amd64=2.36-9")
    );
    assert_eq!(
        of("Inst login:i386 (1:4.13+dfsg1-1 Debian:12.1/stable [i386])"),
        pair("login_1%3a4.13+dfsg1-1_i386.deb", "login:i386=1:4.13+dfsg1-1")
    );
    assert_eq!(of("Inst adduser (3.134 Debian:12 [all])"), pair("adduser_3.134_all.deb", "adduser=3.134"));
    for other in
        ["Conf libc6 (2.36-9 Debian:12 [amd64])", "Inst", "Inst libc6", "Inst libc6 (2.36-9 Debian)", ""]
    {
        assert_eq!(planned(other), None, "{other}");
    }
}

#[test]
fn fields_are_found_by_their_whole_names() {
    let paragraph = "Package: a\nPackage-Type: x\nVersion:  1:2-3 \nDescription: words\n Version: not this";
    assert_eq!(field(paragraph, "Package"), Some("a"));
    assert_eq!(field(paragraph, "Version"), Some("1:2-3"));
    assert_eq!(field(paragraph, "SHA256"), None);
}
