// Archives that the kernel takes as an initramfs: cpio "newc", uncompressed, since unpacking
// costs an emulated CPU more than reading. linux Documentation/driver-api/early-userspace/buffer-format.rst.

const MAGIC = '070701';
const DIRECTORY = 0o040755;
const FILE = 0o100755;
const LINK = 0o120777;

/** An archive in the making. Folders above a file are added by themselves. */
export class Cpio {
  #parts = [];
  #folders = new Set();
  #inode = 1;

  /** @param data Buffer or string */
  file(path, data) {
    this.#add(path, FILE, Buffer.from(data));
  }

  link(path, target) {
    this.#add(path, LINK, Buffer.from(target));
  }

  folder(path) {
    if (path === '' || this.#folders.has(path)) return;
    this.#folders.add(path);
    this.#add(path, DIRECTORY, Buffer.alloc(0));
  }

  /** The archive's bytes; nothing may be added afterwards. */
  bytes() {
    this.#entry('TRAILER!!!', 0, Buffer.alloc(0));
    return Buffer.concat(this.#parts);
  }

  #add(path, mode, data) {
    const slash = path.lastIndexOf('/');
    if (slash > 0) this.folder(path.slice(0, slash));
    this.#entry(path, mode, data);
  }

  #entry(name, mode, data) {
    // ino, mode, uid, gid, nlink, mtime, filesize, device and rdevice numbers, namesize, check
    const fields = [this.#inode++, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length + 1, 0];
    const numbers = fields.map((field) => field.toString(16).padStart(8, '0')).join('');
    this.#padded(Buffer.from(`${MAGIC}${numbers}${name}\0`, 'latin1'));
    this.#padded(data);
  }

  #padded(data) {
    this.#parts.push(data, Buffer.alloc((4 - (data.length % 4)) % 4));
  }
}
