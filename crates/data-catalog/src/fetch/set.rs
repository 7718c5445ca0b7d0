//! One set.

use std::path::PathBuf;

use super::{Fetcher, FileOutcome, How, PlacedFile, SetOutcome, file_state};
use crate::download::{Downloaded, Event, Watch, download};
use crate::error::{Error, Result};
use crate::layout::{Receipt, Record, copy_in_place, put_in_place};
use crate::manifest::{DataFile, DataSet, Origin, Source};
use crate::unpack::{self, MAX_MEMBER_BYTES, MemberRequest, Placed};

/// A set while it is fetched.
struct Work<'a, 'w, 'e> {
    fetcher: &'a Fetcher<'a>,
    set: &'a DataSet,
    receipt: Receipt,
    /// One per file of the set; `None` while it is to be fetched.
    done: Vec<Option<FileOutcome>>,
    watch: &'w mut Watch<'e>,
}

pub(super) fn fetch(fetcher: &Fetcher<'_>, set: &DataSet, watch: &mut Watch<'_>) -> Result<SetOutcome> {
    if let Some(reason) = &set.unavailable {
        return Err(Error::Unavailable { set: set.id.clone(), reason: reason.clone() });
    }
    let receipt = fetcher.folder.receipt(set);
    let mut work = Work { fetcher, set, receipt, done: vec![None; set.files.len()], watch };
    work.look()?;
    for source in &set.sources {
        work.source(source)?;
    }
    for index in 0..set.files.len() {
        work.built(index)?;
    }
    // Empty unless archives are kept or another process is at work there.
    let _ = std::fs::remove_dir(fetcher.folder.parts(set));
    Ok(SetOutcome { id: set.id.clone(), files: work.done.into_iter().flatten().collect() })
}

impl Work<'_, '_, '_> {
    /// Finds what is here already.
    fn look(&mut self) -> Result<()> {
        for (index, file) in self.set.files.iter().enumerate() {
            let path = self.path(file);
            let record = self.receipt.files.get(&file.path);
            // What an earlier fetch has hashed is not hashed again; `data check` does that.
            let hashed = file.sha256.is_some() && record.map(|r| &r.sha256) == file.sha256.as_ref();
            match file_state(&path, file, record, !hashed && file.sha256.is_some())? {
                PlacedFile::Right { bytes, sha256 } => {
                    let verified = sha256.is_some() && (file.sha256 == sha256 || record.is_some_and(|r| r.verified));
                    self.done[index] = Some(self.outcome(file, bytes, sha256, How::Present, verified));
                }
                PlacedFile::Absent => {}
                PlacedFile::Other(_) if self.fetcher.options.force => {}
                PlacedFile::Other(reason) => return Err(Error::Occupied { path, reason }),
            }
        }
        Ok(())
    }

    /// Fetches a source if a file that is missing comes from it, and places those files.
    fn source(&mut self, source: &Source) -> Result<()> {
        let comes_from = |file: &DataFile| match &file.origin {
            Origin::Source(name) | Origin::Member { source: name, .. } => *name == source.name,
            Origin::Built(_) => false,
        };
        let missing: Vec<usize> =
            (0..self.set.files.len()).filter(|i| self.done[*i].is_none() && comes_from(&self.set.files[*i])).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let (found, by_hand) = self.obtain(source)?;
        self.hold_to_receipt(source, &found)?;
        let record = Record {
            bytes: found.bytes,
            sha256: found.sha256.clone(),
            from: found.url.clone(),
            verified: found.verified,
        };
        let placed = match source.archive {
            None => self.place_as_it_is(&missing, &found, by_hand)?,
            Some(kind) => {
                let wanted: Vec<MemberRequest> = missing.iter().filter_map(|i| self.wanted(*i)).collect();
                let placed = unpack::unpack(&found.path, kind, &wanted, MAX_MEMBER_BYTES);
                if matches!(placed, Err(Error::Archive { .. })) && !by_hand && !found.verified {
                    // A damaged archive that no checksum vouches for would be found damaged for ever.
                    let _ = std::fs::remove_file(&found.path);
                }
                placed?
            }
        };
        self.receipt.sources.insert(source.name.clone(), record.clone());
        let how = if source.archive.is_some() { How::Unpacked } else { How::Fetched };
        for index in missing {
            let file = &self.set.files[index];
            let path = self.path(file);
            let Some(placed) = placed.iter().find(|placed| placed.path == path) else { continue };
            self.note(index, placed, how, &found.url, found.verified || file.sha256.is_some());
        }
        self.fetcher.folder.write_receipt(self.set, &self.receipt)?;
        if source.archive.is_some() && !by_hand && !self.fetcher.options.keep_archives {
            std::fs::remove_file(&found.path)
                .map_err(Error::io(&found.path, "the unpacked archive cannot be removed"))?;
        }
        Ok(())
    }

    /// The source from a folder of the user, else from its addresses; whether it is the user's.
    fn obtain(&mut self, source: &Source) -> Result<(Downloaded, bool)> {
        if let Some(folder) = &self.fetcher.options.from {
            let places = [folder.join(&self.set.id).join(&source.name), folder.join(&source.name)];
            if let Some(path) = places.into_iter().find(|path| path.is_file()) {
                return Ok((self.by_hand(source, path)?, true));
            }
        }
        let parts = self.fetcher.folder.parts(self.set);
        Ok((download(self.fetcher.client, source, &parts, self.fetcher.stop, self.watch)?, false))
    }

    fn by_hand(&mut self, source: &Source, path: PathBuf) -> Result<Downloaded> {
        let wrong = |reason| Error::WrongFile { path: path.clone(), reason };
        let bytes = std::fs::metadata(&path).map_err(Error::io(&path, "cannot be read"))?.len();
        if let Some(expected) = source.bytes
            && expected != bytes
        {
            return Err(wrong(format!("it has {bytes} bytes, but `{}` has {expected}", source.name)));
        }
        let sha256 = run_store::hash::file(&path)?;
        if let Some(expected) = &source.sha256
            && *expected != sha256
        {
            return Err(wrong(format!("its SHA-256 is {sha256}, but that of `{}` is {expected}", source.name)));
        }
        let verified = source.sha256.is_some();
        (self.watch)(&Event::Fetched { name: &source.name, bytes, sha256: &sha256, verified });
        let url = path.display().to_string();
        Ok(Downloaded { path, bytes, sha256, url, verified })
    }

    /// Where the manifest knows no checksum, the one of the first fetch counts.
    fn hold_to_receipt(&self, source: &Source, found: &Downloaded) -> Result<()> {
        match self.receipt.sources.get(&source.name) {
            Some(before) if source.sha256.is_none() && before.sha256 != found.sha256 && !self.fetcher.options.force => {
                let reason = format!(
                    "`{}` has SHA-256 {} now, but had {} when it was fetched from {} before; if it was meant to change, \
                     --force takes the new one",
                    source.name, found.sha256, before.sha256, before.from
                );
                Err(Error::WrongContent { url: found.url.clone(), reason })
            }
            _ => Ok(()),
        }
    }

    fn place_as_it_is(&self, missing: &[usize], found: &Downloaded, by_hand: bool) -> Result<Vec<Placed>> {
        let mut placed = Vec::with_capacity(missing.len());
        for (count, index) in missing.iter().enumerate() {
            let path = self.path(&self.set.files[*index]);
            // The download itself moves to its last place only.
            if by_hand || count + 1 < missing.len() {
                copy_in_place(&found.path, &path)?;
            } else {
                put_in_place(&found.path, &path)?;
            }
            placed.push(Placed { path, bytes: found.bytes, sha256: found.sha256.clone() });
        }
        Ok(placed)
    }

    fn wanted(&self, index: usize) -> Option<MemberRequest> {
        let file = &self.set.files[index];
        let Origin::Member { member, .. } = &file.origin else { return None };
        Some(MemberRequest {
            member: member.clone(),
            to: self.path(file),
            bytes: file.bytes,
            sha256: file.sha256.clone(),
        })
    }

    /// Makes a file from others, if it is missing.
    fn built(&mut self, index: usize) -> Result<()> {
        let file = &self.set.files[index];
        let Origin::Built(recipe) = &file.origin else { return Ok(()) };
        if self.done[index].is_some() {
            return Ok(());
        }
        let is_verified = |input: &&str| {
            let of = self.set.files.iter().position(|f| f.path == *input);
            of.and_then(|i| self.done[i].as_ref()).is_some_and(|outcome| outcome.verified)
        };
        let verified = recipe.inputs().iter().all(is_verified) || file.sha256.is_some();
        let folder = self.fetcher.folder.set_folder(self.set);
        let placed = unpack::build(*recipe, &folder, &self.path(file), file.bytes, file.sha256.as_deref())?;
        self.note(index, &placed, How::Built, &recipe.inputs().join(" + "), verified);
        self.fetcher.folder.write_receipt(self.set, &self.receipt)
    }

    fn note(&mut self, index: usize, placed: &Placed, how: How, from: &str, verified: bool) {
        let file = &self.set.files[index];
        let Placed { path, bytes, sha256 } = placed;
        (self.watch)(&Event::Placed { path, bytes: *bytes, sha256 });
        let record = Record { bytes: *bytes, sha256: sha256.clone(), from: from.to_owned(), verified };
        self.receipt.files.insert(file.path.clone(), record);
        self.done[index] = Some(self.outcome(file, *bytes, Some(sha256.clone()), how, verified));
    }

    fn outcome(&self, file: &DataFile, bytes: u64, sha256: Option<String>, how: How, verified: bool) -> FileOutcome {
        FileOutcome { path: format!("{}/{}", self.set.folder, file.path), bytes, sha256, how, verified }
    }

    fn path(&self, file: &DataFile) -> PathBuf {
        self.fetcher.folder.place(self.set, file)
    }
}
