"""Images in: what lies in a file, a folder or a zip, and why some of it is not read."""

from pathlib import Path

from edge_runtime.errors import SourceError
from edge_runtime.sources.folders import NO_FILE, file_reader, folder_entries
from edge_runtime.sources.inventory import inventory
from edge_runtime.sources.items import ImageFile
from edge_runtime.sources.names import SUFFIXES, printable
from edge_runtime.sources.zips import zip_entries

_NAMED = 3  # of what is not read, where there is nothing else


def list_images(path: str | Path) -> list[ImageFile]:
    """List what lies in a file, a folder (searched to any depth) or a zip: the images, and what is not read.

    All that was found is in the list. Pictures of other kinds, links to folders and unreadable folders have
    their names and reasons; hidden, deleted and thumbnail entries, and files of other kinds, stand at the
    end, a kind at a time with their number. The order is that of the names, "frame 2" before "frame 10".

    Raises:
        SourceError: the path is absent, the zip is broken, or there is no image in it.
    """
    path = Path(path)
    shown = printable(str(path))
    try:
        if path.is_dir():
            found = inventory(folder_entries(path), shown)
        elif not path.exists():
            raise SourceError(f"{shown}: no such file or folder; check the path")
        elif path.suffix.lower() == ".zip":
            found = inventory(zip_entries(path), shown)
        elif not path.is_file():  # opening it could wait for ever
            raise SourceError(f"{shown}: {NO_FILE}")
        else:
            return [ImageFile(shown, file_reader(path))]
    except OSError as error:
        raise SourceError(f"{shown}: cannot be read ({error.strerror})") from error
    if all(file.left_out for file in found):
        named = "; ".join(f"{file.name}: {file.left_out}" for file in found[:_NAMED])
        more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        there = f"; not read: {named}{more}" if found else ""
        raise SourceError(f"{shown}: holds no image ({', '.join(SUFFIXES)}); check the path{there}")
    return found
