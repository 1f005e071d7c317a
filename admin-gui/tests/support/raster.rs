//! Pictures of the screen, drawn without a graphics card.
//!
//! egui hands over triangles with colours and a texture of glyphs. They are filled here pixel by pixel, in plain
//! arithmetic on 32-bit floats, as the shaders of egui do it: colours are multiplied and blended as they are, in sRGB
//! with premultiplied alpha. So a picture is the same on every machine, whatever its drivers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::rc::Rc;

use eframe::egui::epaint::{ClippedPrimitive, ImageData, ImageDelta, Primitive, Vertex};
use eframe::egui::{Color32, Pos2, Rect, TextureId, TexturesDelta, pos2};
use egui_kittest::{Harness, TestRenderer};

/// A picture, row by row.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<[u8; 3]>,
}

/// The textures that the harness was told of.
#[derive(Clone, Default)]
pub struct Textures {
    by_id: Rc<RefCell<HashMap<TextureId, Texture>>>,
}

struct Texture {
    width: usize,
    height: usize,
    texels: Vec<Color32>,
}

impl TestRenderer for Textures {
    fn handle_delta(&mut self, delta: &mut TexturesDelta) {
        let mut by_id = self.by_id.borrow_mut();
        for (id, deltas) in std::mem::take(&mut delta.set) {
            for delta in deltas {
                change(&mut by_id, id, &delta);
            }
        }
        for id in std::mem::take(&mut delta.free) {
            by_id.remove(&id);
        }
    }
}

fn change(by_id: &mut HashMap<TextureId, Texture>, id: TextureId, delta: &ImageDelta) {
    let ImageData::Color(image) = &delta.image;
    let [width, height] = image.size;
    let Some([left, top]) = delta.pos else {
        by_id.insert(id, Texture { width, height, texels: image.pixels.clone() });
        return;
    };
    let texture = by_id.get_mut(&id).expect("a part of a texture that is there");
    for row in 0..height {
        let at = (top + row) * texture.width + left;
        texture.texels[at..at + width].copy_from_slice(&image.pixels[row * width..(row + 1) * width]);
    }
}

/// Draws what the harness has last drawn.
pub fn draw<State>(harness: &Harness<'_, State>, textures: &Textures) -> Picture {
    let output = harness.output();
    let scale = output.pixels_per_point;
    let size = harness.ctx.content_rect().size() * scale;
    let (width, height) = (size.x.round() as usize, size.y.round() as usize);
    let mut canvas = Canvas { width, height, pixels: vec![[0.0; 3]; width * height] };
    let by_id = textures.by_id.borrow();
    for ClippedPrimitive { clip_rect, primitive } in harness.ctx.tessellate(output.shapes.clone(), scale) {
        let Primitive::Mesh(mesh) = primitive else { panic!("nothing is drawn by callbacks") };
        let Some(texture) = by_id.get(&mesh.texture_id) else { continue };
        let clip = Clip::new(clip_rect, scale, width, height);
        for corners in mesh.indices.chunks_exact(3) {
            let corners = [corners[0], corners[1], corners[2]].map(|at| mesh.vertices[at as usize]);
            canvas.triangle(corners.map(|corner| scaled(corner, scale)), texture, &clip);
        }
    }
    let byte = |value: f32| (value * 255.0 + 0.5) as u8;
    Picture { width, height, pixels: canvas.pixels.iter().map(|pixel| pixel.map(byte)).collect() }
}

fn scaled(vertex: Vertex, scale: f32) -> Vertex {
    Vertex { pos: (vertex.pos.to_vec2() * scale).to_pos2(), ..vertex }
}

/// What may be drawn on, in pixels.
struct Clip {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

impl Clip {
    fn new(rect: Rect, scale: f32, width: usize, height: usize) -> Clip {
        let edge = |at: f32, end: usize| (at * scale).round().clamp(0.0, end as f32) as usize;
        Clip {
            left: edge(rect.left(), width),
            right: edge(rect.right(), width),
            top: edge(rect.top(), height),
            bottom: edge(rect.bottom(), height),
        }
    }
}

struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<[f32; 3]>,
}

impl Canvas {
    fn triangle(&mut self, corners: [Vertex; 3], texture: &Texture, clip: &Clip) {
        let [a, mut b, mut c] = corners;
        let area = cross(a.pos, b.pos, c.pos);
        if area == 0.0 || !area.is_finite() {
            return;
        }
        // Either winding comes; from here on it is one.
        if area < 0.0 {
            std::mem::swap(&mut b, &mut c);
        }
        let area = area.abs();
        let (xs, ys) = ([a.pos.x, b.pos.x, c.pos.x], [a.pos.y, b.pos.y, c.pos.y]);
        let least = |of: [f32; 3]| of.into_iter().fold(f32::INFINITY, f32::min).floor().max(0.0) as usize;
        let most = |of: [f32; 3]| of.into_iter().fold(0.0, f32::max).ceil() as usize;
        let (left, right) = (least(xs).max(clip.left), most(xs).min(clip.right));
        let (top, bottom) = (least(ys).max(clip.top), most(ys).min(clip.bottom));
        let colours = [a, b, c].map(|corner| corner.color.to_array().map(|part| f32::from(part) / 255.0));
        let uvs = [a, b, c].map(|corner| corner.uv);
        let flat = (a.color == b.color && b.color == c.color).then_some(colours[0]);
        let plain = (uvs[0] == uvs[1] && uvs[1] == uvs[2]).then(|| texture.at(uvs[0]));
        // An edge that two triangles share belongs to one of them: a left or top one.
        let owns = |from: Pos2, to: Pos2| to.y < from.y || (to.y == from.y && to.x > from.x);
        let owned = [owns(b.pos, c.pos), owns(c.pos, a.pos), owns(a.pos, b.pos)];
        for y in top..bottom {
            for x in left..right {
                let centre = pos2(x as f32 + 0.5, y as f32 + 0.5);
                let weights =
                    [cross(b.pos, c.pos, centre), cross(c.pos, a.pos, centre), cross(a.pos, b.pos, centre)];
                let inside = (0..3).all(|edge| weights[edge] > 0.0 || (weights[edge] == 0.0 && owned[edge]));
                if !inside {
                    continue;
                }
                let weights = weights.map(|weight| weight / area);
                let colour = flat.unwrap_or_else(|| mix(weights, colours));
                let texel = plain.unwrap_or_else(|| {
                    let (us, vs) = (uvs.map(|uv| [uv.x; 4]), uvs.map(|uv| [uv.y; 4]));
                    texture.at(pos2(mix(weights, us)[0], mix(weights, vs)[0]))
                });
                let pixel = &mut self.pixels[y * self.width + x];
                let alpha = colour[3] * texel[3];
                for part in 0..3 {
                    let blended = colour[part] * texel[part] + pixel[part] * (1.0 - alpha);
                    // Each layer ends in a byte, as in the memory of a graphics card.
                    pixel[part] = (blended.clamp(0.0, 1.0) * 255.0).round() / 255.0;
                }
            }
        }
        debug_assert!(bottom <= self.height && right <= self.width);
    }
}

impl Texture {
    /// Between the four texels around `uv`.
    fn at(&self, uv: Pos2) -> [f32; 4] {
        let (x, y) = (uv.x * self.width as f32 - 0.5, uv.y * self.height as f32 - 0.5);
        let (left, top) = (x.floor(), y.floor());
        let (right_share, bottom_share) = (x - left, y - top);
        let texel = |x: f32, y: f32| {
            let (x, y) = (x.clamp(0.0, self.width as f32 - 1.0), y.clamp(0.0, self.height as f32 - 1.0));
            self.texels[y as usize * self.width + x as usize].to_array().map(|part| f32::from(part) / 255.0)
        };
        let between = |one: [f32; 4], other: [f32; 4], share: f32| {
            std::array::from_fn(|part| one[part] + (other[part] - one[part]) * share)
        };
        let above = between(texel(left, top), texel(left + 1.0, top), right_share);
        let below = between(texel(left, top + 1.0), texel(left + 1.0, top + 1.0), right_share);
        between(above, below, bottom_share)
    }
}

/// Twice the area of a triangle; positive when its corners run clockwise on the screen.
fn cross(a: Pos2, b: Pos2, c: Pos2) -> f32 {
    (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x)
}

fn mix(weights: [f32; 3], of: [[f32; 4]; 3]) -> [f32; 4] {
    std::array::from_fn(|part| of[0][part] * weights[0] + of[1][part] * weights[1] + of[2][part] * weights[2])
}

impl Picture {
    pub fn read(file: &Path) -> io::Result<Picture> {
        let decoder = png::Decoder::new(io::BufReader::new(std::fs::File::open(file)?));
        let mut reader = decoder.read_info().map_err(io::Error::other)?;
        let length = reader.output_buffer_size().ok_or_else(|| io::Error::other("too large"))?;
        let mut bytes = vec![0; length];
        let info = reader.next_frame(&mut bytes).map_err(io::Error::other)?;
        if (info.color_type, info.bit_depth) != (png::ColorType::Rgb, png::BitDepth::Eight) {
            return Err(io::Error::other("not a picture of eight bits RGB"));
        }
        let pixels =
            bytes[..info.buffer_size()].chunks_exact(3).map(|rgb| [rgb[0], rgb[1], rgb[2]]).collect();
        Ok(Picture { width: info.width as usize, height: info.height as usize, pixels })
    }

    pub fn write(&self, file: &Path) -> io::Result<()> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let writer = io::BufWriter::new(std::fs::File::create(file)?);
        let mut encoder = png::Encoder::new(writer, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header().map_err(io::Error::other)?;
        writer.write_image_data(self.pixels.as_flattened()).map_err(io::Error::other)?;
        writer.finish().map_err(io::Error::other)
    }

    /// Pixels that differ by more than `tolerance` in a part, and a picture that shows them in red.
    pub fn compare(&self, other: &Picture, tolerance: u8) -> (usize, Picture) {
        assert_eq!((self.width, self.height), (other.width, other.height), "pictures of one size");
        let mut count = 0;
        let pixels = self.pixels.iter().zip(&other.pixels).map(|(one, other)| {
            let differs = one.iter().zip(other).any(|(one, other)| one.abs_diff(*other) > tolerance);
            count += usize::from(differs);
            if differs { [255, 0, 0] } else { one.map(|part| part / 4 + 96) }
        });
        let pixels = pixels.collect();
        (count, Picture { pixels, ..*self })
    }
}
