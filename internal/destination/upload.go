package destination

import (
	"context"
	"crypto/md5" //nolint:gosec // the S3 API compares MD5 sums; what is relied on is SHA-256
	"encoding/base64"
	"encoding/hex"
	"io"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"
)

// sumAttribute is the object's attribute that holds the SHA-256 of its content.
const sumAttribute = "sha256"

// upload is one attempt to store a file.
type upload struct {
	*objectStorage
	op, key string
	file    *Partial
	options minio.PutObjectOptions
	// digests are the MD5 sums of the parts that have been sent, one after the other.
	digests []byte
	// final is set when the request is made that makes the object visible.
	final bool
}

// Store implements Destination.
func (o *objectStorage) Store(ctx context.Context, p *Partial, location, contentType string) error {
	op := o.op("store a file in")
	key, err := o.key(op, location)
	if err != nil {
		return err
	}
	if err := p.heldBy(o, op); err != nil {
		return err
	}
	switch _, found, err := o.find(ctx, op, key); {
	case CodeOf(err) == Unavailable:
		return err
	case err != nil:
		// Whoever may store need not be permitted to look; and if something else is wrong, the next answer says what, as this one cannot.
	case found:
		return exists(op)
	}
	u := &upload{objectStorage: o, op: op, key: key, file: p, options: minio.PutObjectOptions{
		ContentType: contentType, UserMetadata: map[string]string{sumAttribute: p.Sum()},
		// The sum is known before, so the body needs no signatures in between, which not all services understand.
		DisableContentSha256: true,
	}}
	tag, err := u.send(ctx)
	if err != nil && u.final && unanswered(err) {
		tag, err = u.settle(ctx, err)
	}
	if err != nil {
		return remoteError(ctx, op, err)
	}
	if strings.EqualFold(tag, u.tag()) {
		return nil
	}
	if err := o.verify(ctx, op, key, p); err != nil {
		return u.discard(ctx, err)
	}
	return nil
}

// send uploads the file and returns the object's entity tag.
func (u *upload) send(ctx context.Context) (tag string, err error) {
	if u.file.size > u.layout.blockSize {
		return u.sendParts(ctx)
	}
	part, err := u.part(1)
	if err != nil {
		return "", err
	}
	u.digests = part.sums.md5[:]
	u.final = true
	info, err := u.client.PutObject(ctx, u.bucket, u.key, part.body, part.size, part.md5(), part.sha256(), u.exclusively(u.options))
	return info.ETag, err
}

// exclusively has the service refuse to replace an object, where it knows how to.
func (u *upload) exclusively(options minio.PutObjectOptions) minio.PutObjectOptions {
	if u.exclusive {
		options.SetMatchETagExcept("*")
	}
	return options
}

// sendParts uploads the file in parts. A failed upload is aborted: what has arrived of it would be kept, and paid for, for ever.
func (u *upload) sendParts(ctx context.Context) (tag string, err error) {
	id, err := u.client.NewMultipartUpload(ctx, u.bucket, u.key, u.options)
	if err != nil {
		if unanswered(err) {
			own, cancel := tidy(ctx)
			defer cancel()
			_ = u.abortAll(own, u.op, u.key) //nolint:errcheck // the first failure is the one to report
		}
		return "", err
	}
	tag, err = u.complete(ctx, id)
	if err != nil {
		own, cancel := tidy(ctx)
		defer cancel()
		_ = u.client.AbortMultipartUpload(own, u.bucket, u.key, id) //nolint:errcheck // as above
	}
	return tag, err
}

// complete sends all parts and has the service put them together.
func (u *upload) complete(ctx context.Context, id string) (tag string, err error) {
	count := u.parts()
	done := make([]minio.CompletePart, 0, count)
	for number := 1; number <= count; number++ {
		part, err := u.part(number)
		if err != nil {
			return "", err
		}
		sent, err := u.client.PutObjectPart(ctx, u.bucket, u.key, id, number, part.body, part.size,
			minio.PutObjectPartOptions{Md5Base64: part.md5(), Sha256Hex: part.sha256(), DisableContentSha256: true})
		if err != nil {
			return "", err
		}
		u.digests = append(u.digests, part.sums.md5[:]...)
		done = append(done, minio.CompletePart{PartNumber: number, ETag: sent.ETag})
	}
	u.final = true
	info, err := u.client.CompleteMultipartUpload(ctx, u.bucket, u.key, id, done, u.exclusively(minio.PutObjectOptions{}))
	return info.ETag, err
}

// part is what one request sends of a file.
type part struct {
	sums
	body io.ReadSeeker
	size int64
}

func (p part) md5() string    { return base64.StdEncoding.EncodeToString(p.sums.md5[:]) }
func (p part) sha256() string { return hex.EncodeToString(p.sums.sha256[:]) }

// parts is how many parts the file has: at least one.
func (u *upload) parts() int {
	size := u.layout.partSize(u.file.size)
	return max(1, int((u.file.size+size-1)/size))
}

// part returns a part of the file; the first is number 1.
func (u *upload) part(number int) (part, error) {
	size := u.layout.partSize(u.file.size)
	start := int64(number-1) * size
	body := io.NewSectionReader(u.file.file, start, min(size, u.file.size-start))
	out := part{body: body, size: body.Size()}
	if size == u.layout.blockSize {
		out.sums = u.file.blocks.at(number - 1)
		return out, nil
	}
	// So large that its parts are not the blocks that were summed up.
	sum := newSumming()
	_, err := io.Copy(sum, body)
	if err == nil {
		_, err = body.Seek(0, io.SeekStart)
	}
	out.sums = sum.sums()
	return out, err
}

// tag is the entity tag that the object has unless the service has a scheme of its own: the MD5 of the content, or of the parts' MD5s.
func (u *upload) tag() string {
	if u.file.size <= u.layout.blockSize {
		return hex.EncodeToString(u.digests)
	}
	all := md5.Sum(u.digests) //nolint:gosec // see the import
	return hex.EncodeToString(all[:]) + "-" + strconv.Itoa(u.parts())
}

// settle finds out what became of an upload whose last answer was lost. What is there is the caller's if they still wait for it.
func (u *upload) settle(ctx context.Context, cause error) (tag string, err error) {
	own, cancel := tidy(ctx)
	defer cancel()
	info, err := u.client.StatObject(own, u.bucket, u.key, minio.StatObjectOptions{})
	if err != nil || info.Size != u.file.size || info.Metadata.Get("X-Amz-Meta-"+sumAttribute) != u.file.Sum() {
		return "", cause
	}
	if ctx.Err() != nil {
		return "", u.discard(ctx, cause)
	}
	return info.ETag, nil
}

// discard removes an object that must not stay, and returns why.
func (u *upload) discard(ctx context.Context, cause error) error {
	own, cancel := tidy(ctx)
	defer cancel()
	failure := *remoteError(ctx, u.op, cause)
	if err := u.client.RemoveObject(own, u.bucket, u.key, minio.RemoveObjectOptions{}); err != nil {
		failure.Message += "; and it could not be removed"
	}
	return &failure
}
