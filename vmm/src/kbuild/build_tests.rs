use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use super::super::testing::{kernel, module, put};
use super::*;

/// A kernel whose own build left a makefile of ours, a folder of sources, and a cache.
struct Place {
    folder: tempfile::TempDir,
    kernel: KernelTree,
    signal: AtomicI32,
}

/// Makes `one.ko` of `one.c`, which is one already.
const BUILDS: &str = "modules:\n\tcp $(M)/one.c $(M)/one.ko && echo $(M)/one.o >$(M)/modules.order\n";

impl Place {
    fn new(makefile: &str) -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let kernel = kernel(&folder.path().join("root"), &[], "");
        let build = kernel.modules.join("build");
        put(build.join("Makefile"), makefile);
        put(build.join("scripts/Makefile.build"), "");
        put(build.join("include/generated/autoconf.h"), "");
        put(folder.path().join("driver/Kbuild"), "obj-m := one.o\n");
        put(folder.path().join("driver/one.c"), module("depends=", &["call"], &[]));
        Place { folder, kernel, signal: AtomicI32::new(0) }
    }

    fn build(&self) -> Result<Vec<PathBuf>, String> {
        self.build_with(&[])
    }

    fn build_with(&self, variables: &[&str]) -> Result<Vec<PathBuf>, String> {
        let job = Job::new(&self.signal, &|_| ());
        let (dir, cache) = (self.folder.path().join("driver"), self.folder.path().join("cache"));
        let variables: Vec<String> = variables.iter().map(|it| it.to_string()).collect();
        build(&dir, &variables, &self.kernel, &cache, &job).map_err(|error| error.to_string())
    }

    fn put(&self, name: &str, text: &str) {
        put(self.folder.path().join("driver").join(name), text);
    }

    fn line(&self) -> String {
        let line = self.build().expect_err("it fails");
        assert!(line.len() < 300 && !line.contains('\n'), "{line}");
        line
    }
}

#[test]
fn a_folder_with_a_kbuild_file_is_built_in_a_copy() {
    let place = Place::new(BUILDS);
    let modules = place.build().expect("built");
    assert_eq!(modules.len(), 1);
    assert!(modules[0].ends_with("modules/one.ko"), "{modules:?}");
    let facts = super::super::facts::Facts::read(&modules[0]).expect("a module");
    assert_eq!(facts.exports, ["call"]);
    let mut left: Vec<_> = fs::read_dir(place.folder.path().join("driver")).expect("a folder").collect();
    left.retain(|entry| !entry.as_ref().expect("an entry").file_name().to_string_lossy().ends_with(".tmp"));
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn what_is_built_with_other_variables_is_beside() {
    let place = Place::new(&BUILDS.replace("one.c ", "$(WHICH).c "));
    place.put("two.c", "");
    fs::copy(place.folder.path().join("driver/one.c"), place.folder.path().join("driver/two.c"))
        .expect("copied");
    let one = place.build_with(&["WHICH=one"]).expect("built");
    let two = place.build_with(&["WHICH=two"]).expect("built");
    assert_ne!(one, two);
    assert_eq!(place.build_with(&["WHICH=one", "M=/nowhere"]).expect("M is ours").len(), 1);
    assert!(place.build_with(&["WHICH=none"]).is_err());
    assert!(one[0].is_file() && two[0].is_file());
}

#[test]
fn a_makefile_that_takes_the_kernels_folder_is_called_itself() {
    let wants_flag = BUILDS.replace("modules:\n", "modules:\n\ttest \"$(FLAG)\" = its-own\n");
    let place = Place::new(&wants_flag);
    assert!(place.line().contains("Error 1"));
    place.put(
        "Makefile",
        "KDIR ?= /lib/modules/nowhere/build\nall: modules\n\tfalse\nmodules:\n\t$(MAKE) -C $(KDIR) M=$(PWD) FLAG=its-own modules\n",
    );
    assert_eq!(place.build().expect("built").len(), 1);
    let style = |text: &str| {
        place.put("Makefile", text);
        Style::of(Path::new("x"), &place.folder.path().join("driver")).expect("a style")
    };
    assert_eq!(style("obj-m := one.o\n"), Style::Kernel);
    assert_eq!(
        style("default:\n\tmake -C $(KERNEL_SRC)\nmodules := x\n"),
        Style::Own(vec!["KERNEL_SRC"], None)
    );
    assert_eq!(style("all modules: x\n\tmake -C ${KSRC}\n"), Style::Own(vec!["KSRC"], Some("modules")));
}

#[test]
fn the_compilers_first_error_is_told_with_its_line_and_the_log() {
    let says = "modules:\n\t@echo one.c:1: warning: w\n\t@echo \"$(M)/sub/one.c:12:5: error: 'x' undeclared\"; \
                echo b.c:1:1: error: later; exit 1\n";
    let line = Place::new(says).line();
    assert!(line.contains("driver: sub/one.c:12:5: error: 'x' undeclared; see "), "{line}");
    let log = line.rsplit("see ").next().expect("a path");
    assert!(log.ends_with("/log"), "{line}");
    let says =
        "modules:\n\t@echo \"/deep/down/linux-headers-1.2-common/include/a.h:3:4: error: no type\"; exit 1\n";
    let line = Place::new(says).line();
    assert!(line.contains("driver: include/a.h:3:4: error: no type; see "), "{line}");
    let line =
        Place::new("modules:\n\t@echo 'ERROR: modpost: \"lost\" [one.ko] undefined!'; exit 1\n").line();
    assert!(line.contains("\"lost\" [one.ko] undefined!"), "{line}");
}

#[test]
fn two_modules_of_one_name_are_refused() {
    let makes = "modules:\n\tmkdir -p $(M)/a $(M)/b && cp $(M)/one.c $(M)/a/one.ko && cp $(M)/one.c $(M)/b/one.ko && \
                 printf '$(M)/a/one.o\\n$(M)/b/one.o\\n' >$(M)/modules.order\n";
    let line = Place::new(makes).line();
    assert!(line.contains("a/one.ko and ") && line.contains("both are one"), "{line}");
}

#[test]
fn a_build_without_a_module_says_so() {
    let line = Place::new("modules:\n\t@true\n").line();
    assert!(line.contains("there is none") && line.contains("obj-m := NAME.o"), "{line}");
    let place = Place::new(BUILDS);
    assert_eq!(place.build().expect("built").len(), 1);
    // The module of the build before is still in the copy.
    put(place.kernel.modules.join("build/Makefile"), "modules:\n\t@true\n");
    assert!(place.line().contains("there is none"));
}

#[test]
fn what_cannot_be_built_is_told_before_anything_runs() {
    let place = Place::new(BUILDS);
    put(
        place.kernel.modules.join("build/.kernelvariables"),
        "override CROSS_COMPILE = odd-gnu-\nCC = $(if $(X),$(Y)) $(CROSS_COMPILE)gcc-0\n",
    );
    let line = place.line();
    assert!(
        line.starts_with("odd-gnu-gcc-0: there is no such program") && line.contains("install gcc-0"),
        "{line}"
    );
    fs::remove_file(place.folder.path().join("driver/Kbuild")).expect("there");
    assert!(place.line().contains("neither a Kbuild file nor a Makefile"));
    fs::remove_dir_all(place.folder.path().join("driver")).expect("there");
    assert!(place.line().contains("driver: No such file"));
}

/// Whether a process is there and has not ended.
fn runs(process: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

#[test]
fn a_signal_ends_make_and_all_that_it_started() {
    let place = Place::new(
        "modules:\n\t@sleep 600 & echo $$! >$(M)/../child.new && mv $(M)/../child.new $(M)/../child && wait\n",
    );
    let child = || {
        let works =
            fs::read_dir(place.folder.path().join("cache").join(FOLDER)).into_iter().flatten().flatten();
        works.map(|entry| entry.path().join("tree/child")).find_map(|path| fs::read_to_string(path).ok())
    };
    std::thread::scope(|scope| {
        let built = scope.spawn(|| place.build());
        let child = loop {
            if let Some(child) = child() {
                break child;
            }
            assert!(!built.is_finished(), "it ended before its child began");
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(runs(&child));
        place.signal.store(libc::SIGINT, Ordering::Relaxed);
        let line = built.join().expect("no panic").expect_err("stopped");
        assert!(line.contains("stopped by a signal"), "{line}");
        // A signal takes its time to arrive.
        (0..2000).take_while(|_| runs(&child)).for_each(|_| std::thread::sleep(Duration::from_millis(5)));
        assert!(!runs(&child));
    });
}
